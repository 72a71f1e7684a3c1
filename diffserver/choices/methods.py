"""The methods by name, a line each: the path of its definition, and its uses. Needs no torch.

A new method is one module, which ends with its `Definition`, and one line here: the API, the catalogue's rules, the
search, the experiment and the command line all use this table. Definitions are left to `methods.definition`.
"""

from dataclasses import dataclass
from enum import Flag, auto

BASE, FULL, EXACT, SNAPSHOT, GIVEN, DEFAULT = "base", "full", "exact", "snapshot", "given", "sparse"
"""Version 0, the full chain's models, a checkpoint to the bit, a checkpoint as a whole with its own tensors and graph,
a diff as uploaded, and the default of requests."""

AUTO = "auto"
"""No method, but the name by which a request asks to try several and keep the best."""


class Use(Flag):
    """The uses that a method may have."""

    TRAINING = auto()
    """A request for a training may name it."""
    PUBLISHED = auto()
    """Its versions can be published."""
    AUTO = auto()
    """`auto` tries it."""
    CHECKPOINT = auto()
    """It can carry a checkpoint's weights as a diff."""
    WHOLE = auto()
    """It delivers a checkpoint whole, with tensors and a graph of its own."""
    DIFF = auto()
    """It can publish an uploaded diff."""
    EXPERIMENT = auto()
    """An experiment compares it with the full chain."""
    TRAINED_DIFF = TRAINING | PUBLISHED


@dataclass(frozen=True)
class Entry:
    """A method's line."""

    definition: str | None
    """The path of its definition, `module:NAME`, imported when it is needed; None where nothing is trained."""
    use: Use


_PRODUCT = Use.TRAINED_DIFF | Use.AUTO | Use.EXPERIMENT

METHODS: dict[str, Entry] = {
    BASE: Entry("diffserver.methods.full:BASE", Use.PUBLISHED),
    FULL: Entry("diffserver.methods.full:FULL", Use.TRAINING),
    EXACT: Entry(None, Use.PUBLISHED | Use.CHECKPOINT),
    SNAPSHOT: Entry(None, Use.PUBLISHED | Use.WHOLE),
    GIVEN: Entry(None, Use.PUBLISHED | Use.DIFF),
    "sparse": Entry("diffserver.methods.sparse:SPARSE", _PRODUCT | Use.CHECKPOINT),
    "hashed": Entry("diffserver.methods.hashed:HASHED", _PRODUCT),
    "topk": Entry("diffserver.methods.topk:TOPK", Use.EXPERIMENT),
    "topk-tuned": Entry("diffserver.methods.topk:TOPK_TUNED", Use.EXPERIMENT),
    "bitdelta": Entry("diffserver.methods.bitdelta:BITDELTA", Use.EXPERIMENT),
    "lora": Entry("diffserver.methods.lora:LORA", Use.EXPERIMENT),
    "pruned": Entry("diffserver.methods.topk:PRUNED", Use.EXPERIMENT),
    "pruned-tuned": Entry("diffserver.methods.topk:PRUNED_TUNED", Use.EXPERIMENT),
    "factorised": Entry("diffserver.methods.factorised:FACTORISED", Use.EXPERIMENT),
}


def method_names(use: Use) -> tuple[str, ...]:
    """Return the methods that have all of these uses, in the table's order."""
    return tuple(name for name, entry in METHODS.items() if use in entry.use)
