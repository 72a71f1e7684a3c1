"""Train diffs in loops that are not this package's, and compare what they keep of full retraining.

A small classifier knows seven classes and is taught three more, the old ones replayed: fully, and by sparse diffs,
through a plain loop of torch, the Hugging Face Trainer, Lightning and this package's own loop; and, untrained, by the
sparse diff that is nearest to the retrained weights: `python -m benchmarks.loop --json FILE`.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import machine
from diffclient.tensors.snapshot import Snapshot
from diffserver.diffs import NotTrained, TrainedDiff, apply, encode, snapshot, sparse
from diffserver.methods.parametrised import load
from diffserver.methods.recipe import Recipe
from diffserver.methods.sparse import SPARSE
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version

TASK = "classifier"
INPUTS, HIDDEN, CLASSES, OLD = 32, 256, 10, 7
BUDGETS = (0.02, 0.01)
STEPS, RATE, FULL_RATE, BATCH = 600, 4e-3, 1e-3, 64


@dataclass(frozen=True)
class Case:
    """One diff, by one loop; metrics are accuracies on unseen examples of all classes."""

    loop: str
    task: str
    budget: float
    metric_parent: float
    metric_full: float
    metric_diff: float
    payload_bytes: int


class Classifier(nn.Module):
    """Two hidden layers; its loss is its first output where labels are given, as trainers want it."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (INPUTS, HIDDEN, HIDDEN, CLASSES)
        layers = [(nn.Linear(inputs, outputs), nn.ReLU()) for inputs, outputs in pairwise(sizes)]
        self.body = nn.Sequential(*[module for pair in layers for module in pair][:-1])

    def forward(self, vectors: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return the scores, and the loss if there are labels."""
        scores = self.body(vectors)
        return {"logits": scores} if labels is None else {"loss": loss(scores, labels), "logits": scores}


def loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy."""
    return nn.functional.cross_entropy(scores, labels)


def examples(classes: Iterable[int], count: int, seed: int) -> list[dict[str, Tensor]]:
    """Draw vectors around three centres of each class."""
    centres = np.random.default_rng(1).normal(0, 1, (CLASSES, 3, INPUTS))
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(classes), count)
    vectors = centres[labels, rng.integers(0, 3, count)] + rng.normal(0, 0.75, (count, INPUTS))
    pairs = zip(torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(labels), strict=True)
    return [{"vectors": vector, "labels": label} for vector, label in pairs]


def together(chosen: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return examples as one batch."""
    return {name: torch.stack([example[name] for example in chosen]) for name in ("vectors", "labels")}


def accuracy(model: nn.Module) -> float:
    """Return the share of unseen examples that are told right."""
    batch = together(examples(range(CLASSES), 4000, seed=9))
    with torch.no_grad():
        right = model(batch["vectors"])["logits"].argmax(1) == batch["labels"]
    return round(float(right.float().mean()), 4)


Loop = Callable[[nn.Module, TrainedDiff | None, list[dict[str, Tensor]]], None]
"""Trains a model, or the diff in it, on examples."""


def plain(model: nn.Module, diff: TrainedDiff | None, data: list[dict[str, Tensor]]) -> None:
    """A loop of torch, by hand."""
    optimiser = torch.optim.AdamW((diff or model).parameters(), RATE if diff else FULL_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, STEPS)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True)  # type: ignore[arg-type, var-annotated]
    batches = (batch for _ in range(STEPS) for batch in loader)
    for _, batch in zip(range(STEPS), batches, strict=False):
        model(**batch)["loss"].backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if diff:
            diff.step()


def trainer(model: nn.Module, diff: TrainedDiff | None, data: list[dict[str, Tensor]]) -> None:
    """The Hugging Face Trainer."""
    from transformers import Trainer, TrainingArguments

    from diffserver.diffs.transformers_trainer import DiffCallback

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=STEPS, learning_rate=RATE if diff else FULL_RATE, per_device_train_batch_size=BATCH,
            save_strategy="no", logging_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=data, callbacks=[DiffCallback(diff)] if diff else []).train()


def lightning(model: nn.Module, diff: TrainedDiff | None, data: list[dict[str, Tensor]]) -> None:
    """Lightning."""
    from lightning.pytorch import LightningModule, Trainer

    from diffserver.diffs.lightning_trainer import DiffCallback

    class Module(LightningModule):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Mapping[str, Tensor], _: int) -> Tensor:
            found: Tensor = self.model(**batch)["loss"]
            return found

        def configure_optimizers(self) -> Any:
            optimiser = torch.optim.Adam((diff or model).parameters(), RATE if diff else FULL_RATE)
            schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, STEPS)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True)  # type: ignore[arg-type, var-annotated]
    Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[DiffCallback(diff)] if diff else [],
    ).fit(Module(), loader)  # fmt: skip


class PackageTask:
    """What this package's loop asks of a task."""

    def network(self, _: int) -> nn.Module:
        """Return the classifier."""
        return Classifier()

    def size(self, _: object) -> int:
        """Every example is of one size."""
        return 1

    def batch(self, chosen: list[dict[str, Tensor]], _: object, device: str) -> dict[str, Tensor]:
        """Return the examples as one batch."""
        return {name: tensor.to(device) for name, tensor in together(chosen).items()}

    def loss(self, forward: Callable[..., Any], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the batch's mean loss."""
        return loss(forward(batch["vectors"])["logits"], batch["labels"])


@dataclass(frozen=True)
class Version:
    """A version on disk."""

    snapshot: Snapshot
    digest: str


def by_package(parent: nn.Module, budget: float, data: list[dict[str, Tensor]], folder: Path) -> tuple[float, int]:
    """Return the accuracy and the payload bytes of a diff by this package's own loop."""
    model, old = copy.deepcopy(parent), folder / f"{budget}-package"
    digest = snapshot(model, old)
    definition = replace(SPARSE, recipe=Recipe(STEPS, RATE, BATCH))
    task: Any = PackageTask()
    start = Version(Snapshot(old), digest)
    out = folder / f"{budget}-made"
    made = make_version(task, definition, Lesson(data), out, seed=0, parent=start, budget=budget, device="cpu")
    load(model, Snapshot(made.weights).read_all())
    return accuracy(model), len(made.payload or b"")


def by_loop(run: Loop, parent: nn.Module, data: list[dict[str, Tensor]]) -> list[Case]:
    """Return the cases of one foreign loop."""
    full = copy.deepcopy(parent)
    run(full, None, data)
    cases = []
    for budget in BUDGETS:
        model = copy.deepcopy(parent)
        diff = sparse(model, budget, STEPS)
        run(model, diff, data)
        size = diff.bytes
        after = accuracy(diff.finish())
        cases.append(Case(run.__name__, TASK, budget, accuracy(parent), accuracy(full), after, size))
    return cases


def nearest(parent: nn.Module, full: nn.Module, budget: float, folder: Path) -> tuple[float, int]:
    """Return the accuracy and the bytes of the sparse diff that is nearest to the retrained weights."""
    before, after = copy.deepcopy(parent), copy.deepcopy(full)
    old, new, diff, out = (folder / f"{budget}-{name}" for name in ("old", "new", "diff", "out"))
    snapshot(before, old)
    snapshot(after, new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotTrained)
        about = encode(old, new, diff, budget)
    apply(old, diff, out)
    load(before, Snapshot(out).read_all())
    return accuracy(before), about.payload_bytes


def measure() -> list[Case]:
    """Return all cases."""
    torch.manual_seed(0)
    parent, data = Classifier(), examples(range(CLASSES), 6000, seed=2)
    plain(parent, None, examples(range(OLD), 6000, seed=1))
    cases = [case for run in (plain, trainer, lightning) for case in by_loop(run, parent, data)]
    full = copy.deepcopy(parent)
    plain(full, None, data)
    with tempfile.TemporaryDirectory() as name:
        for budget in BUDGETS:
            made = {
                "package": by_package(parent, budget, data, Path(name)),
                "nearest": nearest(parent, full, budget, Path(name)),
            }
            for loop, (after, size) in made.items():
                cases.append(Case(loop, TASK, budget, accuracy(parent), accuracy(full), after, size))
    return cases


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    options = parser.parse_args()
    cases = measure()
    for case in cases:
        print(case)
    if options.json:
        figures = {"machine": machine.describe(), "cases": [asdict(case) for case in cases]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
