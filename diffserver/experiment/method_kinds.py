"""What a method's name stands for in an experiment: how it is made and trained, and what it needs beforehand.

A name may carry parameters of its own, `sparse:spread=0.7,steps=900`, and its own budgets, `bitdelta@0.04`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from diffserver.checkpoints import nearest_sparse, quantise
from diffserver.errors import Invalid
from diffserver.experiment.code_fingerprint import fingerprint
from diffserver.methods import bitdelta, factorised, factors, full, hashed, lora, quantiser, sparse, topk
from diffserver.methods.method import Method
from diffserver.methods.setting import Setting
from diffserver.training import loop
from diffserver.training.loop import Recipe, recipe_for

Teacher = Literal["none", "own", "chain"]
"""Which fully retrained model a method compresses: none, one trained from its own parent, or the full chain's."""


@dataclass(frozen=True)
class Kind:
    """One way to make an update."""

    make: Callable[[Setting, Any], Method]
    """From a setting and the method's own parameters."""
    modules: tuple[ModuleType, ...]
    """The code of the method."""
    recipe: Recipe | None
    """None: nothing is trained."""
    schedule: Any = None
    """A frozen dataclass of the method's own parameters; None where it has none."""
    teacher: Teacher = "none"
    needs: str | None = None
    """A package of the extra `experiment`."""

    def with_parameters(self, given: Mapping[str, str]) -> Kind:
        """Return the kind with these parameters of its recipe or its schedule; raises Invalid."""
        changed = self
        for name, text in given.items():
            changed = changed._with(name, text)
        return changed

    def load(self) -> None:
        """Import what it needs, so that no training is timed with it; raises Invalid if that is not installed."""
        try:
            if self.needs:
                import_module(self.needs)
        except ImportError as error:
            raise Invalid(f"this method needs {self.needs}", "pip install 'diffserver[experiment]'") from error

    def shortened(self, steps: int) -> Kind:
        """Return the kind with a training of at most so many steps."""
        return replace(self, recipe=self.recipe and replace(self.recipe, steps=min(steps, self.recipe.steps)))

    def describe(self) -> dict[str, Any]:
        """Return all parameters, as plain JSON values."""
        plain = [None if part is None else asdict(part) for part in (self.recipe, self.schedule)]
        code = [module.__name__ for module in self.modules]
        return {"modules": code, "recipe": plain[0], "schedule": plain[1], "teacher": self.teacher}

    def code(self, task: object) -> str:
        """Return what changes with the code that decides a result, the task's included, but not with its comments."""
        return fingerprint((loop, *self.modules), task)

    def _with(self, name: str, text: str) -> Kind:
        for part in ("recipe", "schedule"):
            owner = getattr(self, part)
            if owner is not None and name in {field.name for field in fields(owner)}:
                return replace(self, **{part: replace(owner, **{name: _as(getattr(owner, name), name, text)})})
        owners = [owner for owner in (self.recipe, self.schedule) if owner is not None]
        known = sorted(field.name for owner in owners for field in fields(owner))
        raise Invalid(f"there is no parameter {name!r}", f"this method has {', '.join(known) or 'none'}")


def _as(now: Any, name: str, text: str) -> Any:
    """The text as what the parameter is now: a whole number, a number or a truth value."""
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text]
        return int(text) if isinstance(now, int) or now is None else float(text)
    except (ValueError, KeyError) as error:
        raise Invalid(f"{name}={text} is no value like {now}", "give a number, or true or false") from error


def _sparse(setting: Setting, schedule: Any) -> Method:
    return sparse.SparseDiff(setting.parent, setting.table, setting.budget, schedule)


def _hashed(setting: Setting, schedule: Any) -> Method:
    return hashed.HashedDiff(setting.parent, setting.table, setting.budget, setting.seed, schedule)


def _plainly(build: Callable[[Setting], Method]) -> Callable[[Setting, Any], Method]:
    return lambda setting, _: build(setting)


FULL = Kind(lambda setting, _: full.Full(setting.parent), (full,), recipe_for("full"))
BASE = replace(FULL, recipe=recipe_for("base"))
_TOPK = Kind(topk.TopK, (topk, quantiser, nearest_sparse, quantise), None, topk.TopKSchedule(), "own")
_PRUNED = replace(_TOPK, schedule=topk.TopKSchedule(from_nothing=True), teacher="chain")
_BITDELTA = Kind(
    _plainly(bitdelta.BitDelta), (bitdelta, quantiser), Recipe(steps=100, learning_rate=1e-2), teacher="own"
)


def _tuned(kind: Kind, steps: int) -> Kind:
    schedule = replace(kind.schedule, aim=topk.TUNED_AIM)
    return replace(kind, schedule=schedule, recipe=Recipe(steps=steps, learning_rate=1.5e-3))


KINDS: Mapping[str, Kind] = {
    "sparse": Kind(_sparse, (sparse, quantiser), recipe_for("sparse"), sparse.SparseSchedule()),
    "hashed": Kind(_hashed, (hashed, quantiser), recipe_for("hashed"), hashed.HashedSchedule()),
    "topk": _TOPK,
    "topk-tuned": _tuned(_TOPK, 350),
    "bitdelta": _BITDELTA,
    "lora": Kind(_plainly(lora.Lora), (lora, factors), Recipe(steps=1250, learning_rate=1e-2), needs="peft"),
    "pruned": _PRUNED,
    "pruned-tuned": _tuned(_PRUNED, 700),
    "factorised": Kind(_plainly(factorised.Factorised), (factorised, factors), None, teacher="chain"),
}
