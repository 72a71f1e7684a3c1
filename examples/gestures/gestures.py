"""A task of one's own: gestures of a wrist, told apart by a small convolutional network."""

from collections.abc import Sequence

import gesture_device
import numpy as np
from gesture_device import GESTURES, Example
from torch import Tensor, nn

from diffclient.release.metric import Metric
from diffserver.tasks import Forward
from diffserver.tasks.graph import Input
from diffserver.tasks.plain import Batch, PlainTask


class Gestures(PlainTask):
    """From 32 readings of an accelerometer to a score for each gesture."""

    name = "gestures"
    takes = (Input("motion", ("batch", 3, 32)),)
    scorer = gesture_device.score
    metric = Metric("error rate", "gestures")

    def build(self) -> nn.Module:
        """About 44,000 weights."""
        return nn.Sequential(
            nn.Conv1d(3, 64, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.Conv1d(64, 96, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(96 * 16, len(GESTURES)),
        )

    def targets(self, examples: Sequence[Example]) -> list[int]:
        """The gestures' numbers."""
        return [GESTURES.index(example["gesture"]) for example in examples]

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(forward(*batch.inputs), batch.targets)

    def augment(self, example: Example, rng: np.random.Generator) -> Example:
        """The same gesture, a little stronger or weaker, sooner or later."""
        moved = np.roll(np.array(example["motion"]), rng.integers(-3, 4), axis=1)
        return {**example, "motion": rng.uniform(0.8, 1.25) * moved}
