"""A callback that drives a diff from a Lightning Trainer, and keeps its state within the Trainer's checkpoints."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback

from diffserver.diffs.trained_diff import TrainedDiff
from diffserver.methods.parametrised import LoopError


class DiffCallback(Callback):  # type: ignore[misc, unused-ignore]
    """For `Trainer(callbacks=[…])`: a step for every step of the optimiser, gathered batches counting once."""

    def __init__(self, diff: TrainedDiff) -> None:
        self.diff = diff

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Check that both have as many steps; raises LoopError."""
        steps = trainer.estimated_stepping_batches
        if steps != self.diff.steps:
            raise LoopError(
                f"the Trainer will make {steps} steps, the diff has {self.diff.steps}",
                f"make the diff with steps={steps}, or pass max_steps={self.diff.steps} to the Trainer",
            )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Go on in the schedule where the optimiser has made a step."""
        if trainer.global_step > self.diff.done:
            self.diff.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the diff's state, for the checkpoint."""
        return self.diff.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.diff.load_state_dict(state_dict)
