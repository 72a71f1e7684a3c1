"""Teach Moonshine new recordings by a sparse diff, in a loop of one's own: `python teach.py v0.safetensors DOMAIN …`.

$MOONSHINE names the Hugging Face folder, as for the task. A third of each batch is replayed from earlier recordings,
if some are named, so that what they teach is not forgotten.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from moonshine import MoonshineTask
from moonshine_device import Utterance
from torch import nn

from diffserver.diffs import sparse

BATCH, REPLAYED = 9, 3


def drawn(examples: Sequence[Utterance], count: int, rng: np.random.Generator) -> Iterator[list[Utterance]]:
    """Yield so many examples for each step, all of them before one comes again."""
    waiting: list[int] = []
    while True:
        while len(waiting) < count:
            waiting += rng.permutation(len(examples)).tolist()
        numbers, waiting = waiting[:count], waiting[count:]
        yield [examples[number] for number in numbers]


def main() -> None:
    """Train, and save the diff."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parent", type=Path, help="The version to start from: `diffserver snapshot MODEL --out …`.")
    parser.add_argument("domain", type=Path, help="The folder of the new recordings' train.jsonl.")
    parser.add_argument("--replay", type=Path, help="The folder of earlier recordings' train.jsonl.")
    parser.add_argument("--out", type=Path, default=Path("v1.ndiff"))
    parser.add_argument("--budget", type=float, default=0.02, help="The payload's share of the model's bytes.")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, default=3e-4, help="The highest learning rate.")
    parser.add_argument("--decoder", action="store_true", help="Train the decoder alone: enough for words, quicker.")
    options = parser.parse_args()

    torch.manual_seed(0)
    task, rng = MoonshineTask(), np.random.default_rng(0)
    network = task.network(0)
    if options.decoder:
        network.get_submodule("model.encoder").requires_grad_(False)
    diff = sparse(network, options.budget, options.steps, parent=options.parent)
    optimiser = torch.optim.AdamW(diff.parameters(), options.rate, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, options.steps, pct_start=0.1)

    count = BATCH - REPLAYED if options.replay else BATCH
    sources = [drawn(task.examples(options.domain, "train"), count, rng)]
    if options.replay:
        sources.append(drawn(task.examples(options.replay, "train"), REPLAYED, rng))
    for step, groups in zip(range(options.steps), zip(*sources, strict=True), strict=False):
        loss = task.loss(network, task.batch([example for group in groups for example in group], rng, "cpu"))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(diff.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
        rates.step()
        diff.step()
        print(f"step {step + 1} of {options.steps}, loss {loss.item():.3f}", end="\r")
    about = diff.save(options.out)
    print(f"{options.out}: {about.payload_bytes:,} bytes, {diff.density:.2%} of the weights changed")


if __name__ == "__main__":
    main()
