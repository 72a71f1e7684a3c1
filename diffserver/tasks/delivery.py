"""The task of models that are only delivered: neither trained nor measured here."""

from __future__ import annotations

from typing import Any, NoReturn

from diffclient.release.metric import Metric
from diffserver.choices.delivery import DELIVERY
from diffserver.tasks.errors import TaskError


class DeliveryTask:
    """A task without data; methods that would train or measure raise TaskError."""

    name = DELIVERY
    metric = Metric("error rate", "examples")
    """A default, as a metric is required; nothing is counted by it."""

    def _refuse(self, *_arguments: Any) -> NoReturn:
        raise TaskError(
            "the model is delivered without a task: nothing can be trained or measured here. Train it elsewhere and "
            "publish it with --from-checkpoint, or make a base of another name with --task and --data"
        )

    network = examples = size = batch = loss = graph = session = measure = score = probe = _refuse
