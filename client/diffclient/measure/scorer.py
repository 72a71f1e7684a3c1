"""A scorer for models of one's own: how well a version does on labelled examples, on the server as on devices.

Its author says what goes into the graph and which items of its outputs are wrong; probe sets, running the graph in
batches, and sums are done here. An example is what `read` makes of a line of JSON, by default its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffclient.measure.error_count import Errors
from diffclient.measure.onnx_session import Session
from diffclient.measure.probe_set import read_part
from diffclient.tensors.snapshot import Array, Snapshot

Example = Any
"""One labelled example; only its author's functions look inside."""

Fields = Mapping[str, Any]
"""A line's JSON object."""

Opener = Callable[[str], bytes]
"""From a file's name in a line to its bytes."""


def the_fields(fields: Fields, _open: Opener) -> Fields:
    """Return a line's fields as the example: all that it needs is in the line."""
    return fields


@dataclass(frozen=True)
class Scorer:
    """One kind of model's inputs and errors. Called, it is what probation asks for: a `probation.Score`."""

    inputs: Callable[[Sequence[Example]], Mapping[str, Array]]
    """From examples to the graph's inputs, a batch, in the order in which the network takes them."""
    errors: Callable[[Sequence[Any], Sequence[Example]], Errors]
    """From the graph's outputs, in its order, and their examples: how many items are wrong, and how many there are."""
    read: Callable[[Fields, Opener], Example] = the_fields
    """From a line's fields, and what opens the files that it names, to an example."""
    together: int = 32
    """Examples in one call of the graph."""
    answers: Callable[[Session, Sequence[Example]], Sequence[Any]] | None = None
    """From a session and examples to what `errors` is given; by default the outputs of one call on the inputs."""

    def __call__(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        """Return the errors on each part of a probe set; raises InferenceError, ProbeError."""
        session = Session(graph.read_bytes(), weights)
        return [self.measure(session, self.examples(part)) for part in parts]

    def examples(self, part: Path) -> list[Example]:
        """Return the examples of a part of a probe set; raises ProbeError."""
        return read_part(part, lambda fields, open_: self.read(fields.values, open_))

    def measure(self, session: Session, examples: Sequence[Example]) -> Errors:
        """Return the errors on these examples together; raises InferenceError."""
        total = Errors(0, 0)
        for start in range(0, len(examples), self.together):
            some = examples[start : start + self.together]
            answers = self.answers(session, some) if self.answers else session.run(self.inputs(some))
            errors = self.errors(answers, some)
            # Whole numbers of numpy would not go into JSON.
            total += Errors(int(errors.errors), int(errors.total))
        return total
