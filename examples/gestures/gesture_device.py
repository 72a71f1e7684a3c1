"""Gestures as a device sees them: what goes into the model, and which of its answers are wrong. numpy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffclient.measure.error_count import Errors
from diffclient.measure.scorer import Scorer

GESTURES = ("circle", "push", "raise", "shake", "swipe", "tap", "twist", "wave")

Example = Mapping[str, Any]
"""A line of JSON: `motion`, an acceleration of 3 axes by 32 readings, and `gesture`."""


def inputs(examples: Sequence[Example]) -> dict[str, Any]:
    """The graph's input: float32 `[batch, 3, 32]`."""
    return {"motion": np.array([example["motion"] for example in examples], np.float32)}


def errors(outputs: Sequence[Any], examples: Sequence[Example]) -> Errors:
    """How many gestures are mistaken, of how many; the output is a score for each, `[batch, gestures]`."""
    meant = [GESTURES.index(example["gesture"]) for example in examples]
    return Errors(int(np.sum(outputs[0].argmax(axis=1) != meant)), len(examples))


score = Scorer(inputs, errors)
