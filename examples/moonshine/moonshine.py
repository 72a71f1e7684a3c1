"""The task of a real recogniser: Moonshine, which was trained elsewhere, learns further words and voices.

$MOONSHINE names its Hugging Face folder, whose sizes and tokens are used here; its weights come in as a base's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import moonshine_device
import numpy as np
from moonshine_device import HOP, MEMORY, PIECES, Utterance
from moonshine_network import Config, Moonshine, OnDevice
from moonshine_text import END, START, Tokenizer, written
from torch import Tensor, nn
from torch.nn import functional

from diffclient.release.metric import Metric
from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.methods.parametrised import load
from diffserver.tasks import Forward
from diffserver.tasks.graph import Input, export
from diffserver.tasks.plain import Batch, PlainTask

FOLDER = "MOONSHINE"
SOUNDS = (Input("wave", ("sounds", "hops", HOP)), Input("length", ("sounds",), "int64"))
OUTPUTS = ("heard_now", "real_now", "token", "said_now")
NOTHING = -100
"""Stands behind a text's end, where no token is asked for."""


class MoonshineTask(PlainTask):
    """From sound to the tokens of a text, one after the other."""

    name = "moonshine"
    takes = SOUNDS
    scorer = moonshine_device.score
    metric = Metric("WER", "words")

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(os.environ.get(FOLDER, "build/moonshine-tiny"))
        self.config = Config.read(self._folder)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.read(self._folder)

    def build(self) -> nn.Module:
        """27 million weights in the Tiny one, 61 in the Base one."""
        return Moonshine(self.config)

    def loaded(self) -> Moonshine:
        """Return the network with the folder's weights."""
        network, checkpoint = Moonshine(self.config), Checkpoint(self._folder / "model.safetensors")
        load(network, {name: checkpoint.read(name) for name in checkpoint.entries})
        return network

    def size(self, example: Utterance) -> int:
        """Samples."""
        return len(example.samples)

    def targets(self, examples: Sequence[Utterance]) -> Array:
        """The tokens of the texts and their end, `[examples, longest]`, and then `NOTHING`."""
        rows = [[*self._tokenizer.encode(written(example.text)), END] for example in examples]
        longest = max(map(len, rows))
        return np.array([row + [NOTHING] * (longest - len(row)) for row in rows], np.int64)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Cross-entropy of every token, after the right ones before it."""
        before = functional.pad(batch.targets[:, :-1], (1, 0), value=START)
        scores = forward(*batch.inputs, before.masked_fill(before == NOTHING, END))
        return functional.cross_entropy(scores.flatten(0, 1), batch.targets.flatten(), ignore_index=NOTHING)

    def graph(self, network: nn.Module) -> bytes:
        """Both halves, with the tokens' texts."""
        assert isinstance(network, Moonshine)
        shape = network.memory_shape
        layers, pair, heads, width = shape
        second = (
            Input("tokens", ("texts", "new"), "int64"),
            Input("said", ("texts", layers, pair, heads, "before", width)),
            Input("heard", ("texts", layers, pair, heads, "frames", width)),
            Input("real", ("texts", "frames"), "bool"),
        )
        properties = {PIECES: json.dumps(self._tokenizer.pieces, ensure_ascii=False), MEMORY: json.dumps(shape)}
        return export(OnDevice(network), SOUNDS + second, properties, OUTPUTS)
