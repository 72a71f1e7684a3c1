"""A callback that drives a diff from the Hugging Face Trainer, and keeps its state with the Trainer's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from diffserver.diffs.trained_diff import TrainedDiff
from diffserver.methods.parametrised import LoopError

STATE = "diff.pt"


class DiffCallback(TrainerCallback):
    """For `Trainer(callbacks=[…])`: a step for every step of the Trainer's optimiser."""

    def __init__(self, diff: TrainedDiff) -> None:
        self.diff = diff

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Check that both have as many steps; raises LoopError. Take up the state of a checkpoint that is resumed."""
        if state.max_steps != self.diff.steps:
            raise LoopError(
                f"the Trainer will make {state.max_steps} steps, the diff has {self.diff.steps}",
                f"make the diff with steps={state.max_steps}, or pass max_steps={self.diff.steps} to the Trainer",
            )
        if state.global_step:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if isinstance(args.resume_from_checkpoint, str):
                folder = Path(args.resume_from_checkpoint)
            self.diff.load_state_dict(torch.load(folder / STATE, map_location="cpu"))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on in the schedule."""
        self.diff.step()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the state beside the Trainer's own."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero:
            torch.save(self.diff.state_dict(), folder / STATE)
