"""The Hugging Face Trainer and Lightning, the real ones, drive a diff, and go on from their checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffserver.diffs import LoopError, TrainedDiff, sparse
from tests.server.diffs.loops import NEW, batches, errors_on, knowing

STEPS = 60
DATA = [
    {"vectors": vector, "labels": label}
    for vectors, labels in batches(range(8), 20, seed=2)
    for vector, label in zip(vectors, labels, strict=True)
]
"""An epoch of it is 20 steps: Lightning resumes data where an epoch ends."""


class WithLoss(nn.Module):
    """The classifier as the Trainer calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = knowing()

    def forward(self, vectors: Tensor, labels: Tensor) -> dict[str, Tensor]:
        scores = self.body(vectors)
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def by_trainer(folder: Path, *, resume: bool = False, **options: Any) -> TrainedDiff:
    """Train by the Hugging Face Trainer."""
    transformers = pytest.importorskip("transformers", reason="pip install transformers accelerate")
    pytest.importorskip("accelerate", reason="pip install transformers accelerate")
    from diffserver.diffs.transformers_trainer import DiffCallback

    model = WithLoss()
    diff = sparse(model, 0.15, STEPS)
    settings = {"max_steps": STEPS, "learning_rate": 0.02, "per_device_train_batch_size": 16, "report_to": []}
    settings |= {"gradient_accumulation_steps": 2, "save_steps": 20, "use_cpu": True, "disable_tqdm": True, **options}
    arguments = transformers.TrainingArguments(str(folder), seed=1, **settings)
    trainer = transformers.Trainer(model, arguments, train_dataset=DATA, callbacks=[DiffCallback(diff)])
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-40") if resume else None)
    return diff


def by_lightning(folder: Path, *, resume: bool = False, **options: Any) -> TrainedDiff:
    """Train by Lightning."""
    lightning = pytest.importorskip("lightning.pytorch", reason="pip install lightning")
    from diffserver.diffs.lightning_trainer import DiffCallback

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = WithLoss()

        def training_step(self, batch: Any, _: int) -> Any:
            return self.model(**batch)["loss"]

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(diff.parameters(), 0.02)

    module = Module()
    diff = sparse(module.model, 0.15, STEPS)
    checkpoints = lightning.callbacks.ModelCheckpoint(folder, "{step}", every_n_train_steps=20, save_top_k=-1)
    settings: dict[str, Any] = {"max_steps": STEPS, "accumulate_grad_batches": 2, "accelerator": "cpu", **options}
    trainer = lightning.Trainer(
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[DiffCallback(diff), checkpoints],
        **settings,
    )
    loader = torch.utils.data.DataLoader(DATA, 16)  # type: ignore[arg-type, var-annotated]
    trainer.fit(module, loader, ckpt_path=folder / "step=40.ckpt" if resume else None)
    return diff


every_trainer = pytest.mark.parametrize("train", [by_trainer, by_lightning])


@every_trainer
def test_it_trains_and_goes_on_from_a_checkpoint_to_the_same_bits(train: Any, tmp_path: Path) -> None:
    straight = train(tmp_path)
    again = train(tmp_path, resume=True)
    assert again.digest == straight.digest
    assert errors_on(straight.finish().body, NEW) < 0.3


@every_trainer
def test_another_number_of_steps_is_told_at_once(train: Any, tmp_path: Path) -> None:
    with pytest.raises(LoopError, match="make 30 steps, the diff has 60: make the diff with steps=30"):
        train(tmp_path, max_steps=30)
