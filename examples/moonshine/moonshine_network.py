"""Moonshine in plain torch, with the names of its Hugging Face checkpoints: an encoder of sound, a decoder of tokens.

Padding changes nothing: what is behind an utterance's end is neither averaged nor attended to. Which tokens are said,
and when a text has ended, is left to the device's code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

HOP, WINDOW = 64, 127
"""Samples between frames, and in a frame, of the first convolution."""


@dataclass(frozen=True)
class Config:
    """The sizes of one Moonshine, under the names of its config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    encoder_num_hidden_layers: int
    decoder_num_hidden_layers: int
    encoder_num_attention_heads: int
    decoder_num_attention_heads: int
    partial_rotary_factor: float
    rope_theta: float

    @staticmethod
    def read(folder: Path) -> Config:
        """Return the sizes that a Hugging Face folder tells; raises OSError, KeyError."""
        return Config.of(json.loads((folder / "config.json").read_text("utf-8")))

    @staticmethod
    def of(fields: Mapping[str, Any]) -> Config:
        """Return the sizes among the fields of a config.json; raises KeyError."""
        known = {**fields, **fields.get("rope_parameters", {})}
        return Config(**{name: known[name] for name in Config.__dataclass_fields__})

    @property
    def memory_shape(self) -> tuple[int, int, int, int]:
        """The sides of keys and values that the decoder keeps, but for examples and places: layers, 2, heads, width."""
        heads = self.decoder_num_attention_heads
        return self.decoder_num_hidden_layers, 2, heads, self.hidden_size // heads


class Turns(nn.Module):
    """Rotary positions: the first numbers of every head are turned by their place."""

    rates: Tensor

    def __init__(self, config: Config, heads: int) -> None:
        super().__init__()
        self.turned = 2 * int(config.hidden_size // heads * config.partial_rotary_factor / 2)
        rates = config.rope_theta ** (-torch.arange(0, self.turned, 2, dtype=torch.float32) / self.turned)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, heads: Tensor, first: int = 0) -> Tensor:
        """Turn `[batch, heads, places, width]`, whose places count from `first`."""
        angles = torch.arange(first, first + heads.shape[2], device=heads.device)[:, None] * self.rates
        even, odd = heads[..., 0 : self.turned : 2], heads[..., 1 : self.turned : 2]
        cos, sin = angles.cos(), angles.sin()
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)
        return torch.cat((turned, heads[..., self.turned :]), dim=-1)


class Attention(nn.Module):
    """Attention of some heads; keys and values are computed apart, so that they can be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.sides = (heads, width // heads)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

    def query(self, states: Tensor) -> Tensor:
        """Return queries, `[batch, heads, places, width]`."""
        return self._split(self.q_proj(states))

    def keys(self, states: Tensor) -> Tensor:
        """Return keys in the same shape."""
        return self._split(self.k_proj(states))

    def values(self, states: Tensor) -> Tensor:
        """Return values in the same shape."""
        return self._split(self.v_proj(states))

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        """Return what the queries find at the places that are `seen`, `[batch, places, width of all heads]`."""
        found = functional.scaled_dot_product_attention(query, keys, values, seen)
        joined: Tensor = self.o_proj(found.transpose(1, 2).flatten(2))
        return joined

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], *self.sides).transpose(1, 2)


class PlainMlp(nn.Module):
    """The encoder's."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        """Return the change to the states."""
        change: Tensor = self.fc2(functional.gelu(self.fc1(states)))
        return change


class GatedMlp(nn.Module):
    """The decoder's: one half opens and closes the other."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * inner), nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        """Return the change to the states."""
        inner, gate = self.fc1(states).chunk(2, dim=-1)
        change: Tensor = self.fc2(functional.silu(gate) * inner)
        return change


class EncoderLayer(nn.Module):
    """One layer over frames, each of which sees all others."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, heads, norm = config.hidden_size, config.encoder_num_attention_heads, _norm(config)
        self.self_attn, self.mlp = Attention(width, heads), PlainMlp(width, config.intermediate_size)
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()

    def forward(self, states: Tensor, seen: Tensor, turns: Turns) -> Tensor:
        """Return the next states."""
        attention, normed = self.self_attn, self.input_layernorm(states)
        query, keys = turns(attention.query(normed)), turns(attention.keys(normed))
        states = states + attention(query, keys, attention.values(normed), seen)
        change: Tensor = self.mlp(self.post_attention_layernorm(states))
        return states + change


class Encoder(nn.Module):
    """From samples to states, a frame of 24 ms each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.conv1 = nn.Conv1d(1, width, WINDOW, stride=HOP, bias=False)
        self.groupnorm = nn.GroupNorm(1, width)
        self.conv2 = nn.Conv1d(width, 2 * width, 7, stride=3)
        self.conv3 = nn.Conv1d(2 * width, width, 3, stride=2)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_num_hidden_layers))
        self.layer_norm = _norm(config)()
        self.turns = Turns(config, config.encoder_num_attention_heads)

    def forward(self, wave: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return states `[batch, frames, width]`, and which frames are real `[batch, frames]`.

        `wave`: `[batch, hops, HOP]`, silence behind an utterance's `length` in samples.
        """
        frames = (length - WINDOW) // HOP + 1
        sound = self._normed(torch.tanh(self.conv1(wave.flatten(1)[:, None])), frames)
        states = functional.gelu(self.conv3(functional.gelu(self.conv2(sound)))).transpose(1, 2)
        real = _within(states.shape[1], ((frames - 7) // 3 + 1 - 3) // 2 + 1)
        for layer in self.layers:
            states = layer(states, real[:, None, None], self.turns)
        return self.layer_norm(states), real

    def _normed(self, sound: Tensor, frames: Tensor) -> Tensor:
        """Return what `groupnorm` does for each utterance without the padding."""
        real = _within(sound.shape[2], frames)[:, None].to(sound.dtype)
        count = real.sum(2, keepdim=True) * sound.shape[1]
        away = sound - (sound * real).sum((1, 2), keepdim=True) / count
        spread = (away.square() * real).sum((1, 2), keepdim=True) / count
        norm = self.groupnorm
        return away * (spread + norm.eps).rsqrt() * norm.weight[:, None] + norm.bias[:, None]


class DecoderLayer(nn.Module):
    """One layer over tokens, each of which sees those before it and all of the sound."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, heads, norm = config.hidden_size, config.decoder_num_attention_heads, _norm(config)
        self.self_attn, self.encoder_attn = Attention(width, heads), Attention(width, heads)
        self.mlp = GatedMlp(width, config.intermediate_size)
        self.input_layernorm, self.post_attention_layernorm, self.final_layernorm = norm(), norm(), norm()

    def remember(self, sound: Tensor) -> Tensor:
        """Return the sound's keys and values, `[batch, 2, heads, frames, width]`."""
        return torch.stack((self.encoder_attn.keys(sound), self.encoder_attn.values(sound)), dim=1)

    def forward(
        self, states: Tensor, said: Tensor, heard: Tensor, before: Tensor, real: Tensor, turns: Turns
    ) -> tuple[Tensor, Tensor]:
        """Return the next states, and keys and values of all tokens so far: those in `said` and these.

        `before`: which tokens each one sees; `real`: which frames of what is `heard` are.
        """
        attention, normed, first = self.self_attn, self.input_layernorm(states), said.shape[3]
        new = torch.stack((turns(attention.keys(normed), first), attention.values(normed)), dim=1)
        said = torch.cat((said, new), dim=3)
        states = states + attention(turns(attention.query(normed), first), said[:, 0], said[:, 1], before)
        query = self.encoder_attn.query(self.post_attention_layernorm(states))
        states = states + self.encoder_attn(query, heard[:, 0], heard[:, 1], real)
        return states + self.mlp(self.final_layernorm(states)), said


class Table(nn.Embedding):
    """A row for each token."""

    def forward(self) -> Tensor:  # type: ignore[override]
        """Return the table itself, of which the decoder makes two uses."""
        return self.weight


class Decoder(nn.Module):
    """From tokens so far, and the sound, to scores for the next token; the table of tokens is the head as well."""

    layers: Any

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens: nn.Module = Table(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_num_hidden_layers))
        self.norm = _norm(config)()
        self.turns = Turns(config, config.decoder_num_attention_heads)

    def remember(self, sound: Tensor) -> Tensor:
        """Return each layer's keys and values of the sound, `[batch, layers, 2, heads, frames, width]`."""
        return torch.stack([layer.remember(sound) for layer in self.layers], dim=1)

    def forward(self, tokens: Tensor, said: Tensor, heard: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores after each of these tokens, and what is `said` with them, in the shape of `remember`."""
        table, places = self.embed_tokens(), torch.arange(tokens.shape[1], device=tokens.device)
        first = said.shape[4]
        before = places[:, None] + first >= torch.arange(first + tokens.shape[1], device=tokens.device)
        states, kept = functional.embedding(tokens, table), []
        for number, layer in enumerate(self.layers):
            states, now = layer(states, said[:, number], heard[:, number], before, real[:, None, None], self.turns)
            kept.append(now)
        return functional.linear(self.norm(states), table), torch.stack(kept, dim=1)


class Model(nn.Module):
    """Both, under one name, as in the checkpoints."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)


class Moonshine(nn.Module):
    """The network in training: what it would say after every token of a text that is known."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.model, self.memory_shape = Model(config), config.memory_shape

    def forward(self, wave: Tensor, length: Tensor, tokens: Tensor) -> Tensor:
        """Return scores, `[batch, tokens, vocabulary]`."""
        sound, real = self.model.encoder(wave, length)
        layers, pair, heads, width = self.memory_shape
        nothing = sound.new_zeros(len(tokens), layers, pair, heads, 0, width)
        scores: Tensor = self.model.decoder(tokens, nothing, self.model.decoder.remember(sound), real)[0]
        return scores


class OnDevice(nn.Module):
    """The network as devices run it: its two halves side by side, so that one may run while the other gets no examples.

    The first hears sounds, the second says a token for each text, given what was heard and said before.
    """

    def __init__(self, network: Moonshine) -> None:
        super().__init__()
        self.model = network.model  # under the same name, so that the weights keep theirs

    def forward(
        self, wave: Tensor, length: Tensor, tokens: Tensor, said: Tensor, heard: Tensor, real: Tensor
    ) -> tuple[Tensor, ...]:
        """Return what the new sounds are and which of their frames are real; the next tokens, and what is now said."""
        sound, sounding = self.model.encoder(wave, length)
        scores, kept = self.model.decoder(tokens, said, heard, real)
        return self.model.decoder.remember(sound), sounding, scores[:, -1].argmax(-1), kept


def _within(count: int, lengths: Tensor) -> Tensor:
    """Tell which of `count` places come before each length: bool `[batch, count]`."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def _norm(config: Config) -> partial[nn.LayerNorm]:
    return partial(nn.LayerNorm, config.hidden_size, bias=False)
