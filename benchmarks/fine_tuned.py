"""A few steps of real training for public models that have no later release."""

from __future__ import annotations

import re
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn

STEPS, RATE, TEXTS, TEMPERATURE = 10, 2e-5, 8, 0.05


def sentence_encoder(folder: Path, out: Path) -> None:
    """Train a BERT of Hugging Face's to tell sentences of Python's manual apart in spite of dropout (SimCSE)."""
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(0)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), RATE)
    text = " ".join(topics[name] for name in sorted(topics))
    sentences = [part.strip() for part in re.split(r"[.:]\s", text) if 40 < len(part) < 200]
    for number in range(STEPS):
        chosen = sentences[number * TEXTS : (number + 1) * TEXTS]
        batch = tokenizer(chosen, return_tensors="pt", padding=True, truncation=True)
        first, second = (model(**batch).last_hidden_state.mean(1) for _ in range(2))
        _descend(optimiser, _contrast(first, second))
    before = _tensors_of(folder / "model.safetensors")
    after = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file({name: after.get(name, tensor) for name, tensor in before.items()}, out)


def speaker_encoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Train Resemblyzer's LSTM to tell made voices apart: spectra of their own, with noise."""
    torch.manual_seed(0)
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    parts = nn.ModuleDict({"lstm": lstm, "linear": linear})
    parts.load_state_dict({name: tensor for name, tensor in weights.items() if name in parts.state_dict()})
    optimiser = torch.optim.AdamW(parts.parameters(), 10 * RATE)
    voices = torch.rand(TEXTS, 1, 40) * 0.01
    for _ in range(STEPS):
        first, second = (
            torch.relu(linear(lstm(voices + 0.003 * torch.rand(TEXTS, 60, 40))[1][0][-1])) for _ in range(2)
        )
        _descend(optimiser, _contrast(first, second))
    return weights | parts.state_dict()


def _contrast(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of finding each embedding's twin among all."""
    likeness = nn.functional.cosine_similarity(first[:, None], second[None], dim=-1) / TEMPERATURE
    return nn.functional.cross_entropy(likeness, torch.arange(len(first)))


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _tensors_of(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(path)
    return tensors
