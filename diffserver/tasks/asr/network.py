"""The recogniser's network: masked convolutions over log-mel frames, letters out, trained with CTC.

About one million parameters. Every layer normalises each frame over its channels and masks its output, so an
utterance's output does not depend on the lengths of the others in its batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffclient.measure.log_mel import MELS

CHANNELS = 192
KERNEL = 5
BLOCKS = 5
LETTERS_PER_FRAME = 1


class Convolution(nn.Module):
    """A convolution over frames `[batch, frames, channels]`, normalised frame by frame, then ReLU, then masked."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        # Two-dimensional with a height of one: with channels last this is twice as fast as Conv1d on a processor.
        self.convolution = nn.Conv2d(inputs, outputs, (1, KERNEL), (1, stride), (0, KERNEL // 2))
        self.norm = nn.LayerNorm(outputs)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the layer's output frames; `lengths` `[batch]` counts each utterance's."""
        image = frames.unsqueeze(1).permute(0, 3, 1, 2)
        convolved = self.convolution(image).permute(0, 2, 3, 1).squeeze(1)
        return masked(functional.relu(self.norm(convolved)), lengths)


class Network(nn.Module):
    """The network from features `[batch, frames, MELS]` and lengths `[batch]` to log-probabilities and lengths."""

    def __init__(self, symbols: int, channels: int = CHANNELS, blocks: int = BLOCKS) -> None:
        """Make the layers; `symbols` counts the letters and the blank, which is symbol 0."""
        super().__init__()
        self.symbols = symbols
        self.first = Convolution(MELS, channels, stride=2)
        self.second = Convolution(channels, channels, stride=2)
        self.blocks = nn.ModuleList(Convolution(channels, channels) for _ in range(blocks))
        self.head = nn.Linear(channels, LETTERS_PER_FRAME * symbols)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 `[batch, frames out, symbols]` and int64 `[batch]`; frames beyond a length are undefined."""
        half, quarter = halved(lengths), halved(halved(lengths))
        frames = self.first(masked(features, lengths), half)
        frames = self.second(frames, quarter)
        for block in self.blocks:
            frames = frames + block(frames, quarter)
        scores = self.head(frames).unflatten(2, (LETTERS_PER_FRAME, self.symbols)).flatten(1, 2)
        return functional.log_softmax(scores, dim=-1), quarter * LETTERS_PER_FRAME


def halved(lengths: Tensor) -> Tensor:
    """Return the lengths after a convolution of stride 2."""
    return (lengths + 1) // 2


def masked(frames: Tensor, lengths: Tensor) -> Tensor:
    """Return `frames` with zeros beyond each utterance's length."""
    inside = torch.arange(frames.shape[1], device=frames.device)[None, :] < lengths[:, None]
    return frames * inside[:, :, None]
