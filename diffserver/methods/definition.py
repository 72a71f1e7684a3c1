"""The definition of a method: how it is made and trained, and what it needs.

Each method's module ends with its definition. The names of methods are left to `choices.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, Literal

from diffserver.choices.methods import METHODS
from diffserver.errors import Invalid
from diffserver.methods.method import Method, MethodError
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting

Teacher = Literal["none", "own", "chain"]
"""The fully retrained model that a method compresses: none, one trained from its own parent, or the full chain's."""


@dataclass(frozen=True)
class Definition:
    """One way to make a version."""

    build: Callable[..., Method]
    """Makes the method from a setting and, where there is one, the schedule."""
    recipe: Recipe | None = None
    """None: nothing is trained."""
    schedule: Any = None
    """The method's own parameters, a frozen dataclass; None where it has none."""
    helpers: tuple[str, ...] = ()
    """Further modules whose code decides its result."""
    teacher: Teacher = "none"
    needs: str | None = None
    """The package of the extra `experiment` that the method imports."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The method's own module and its helpers."""
        return (self.build.__module__, *self.helpers)

    def make(self, setting: Setting) -> Method:
        """Return the method on a setting; raises MethodError if it cannot work there."""
        return self.build(setting) if self.schedule is None else self.build(setting, self.schedule)

    def with_epochs(self, epochs: int | None) -> Definition:
        """Return the definition with this number of epochs (None: as it is); raises MethodError below 1."""
        return replace(self, recipe=self.recipe and self.recipe.with_epochs(epochs))

    def shortened(self, steps: int) -> Definition:
        """Return the definition with at most this number of training steps."""
        return replace(self, recipe=self.recipe and self.recipe.with_value("steps", min(steps, self.recipe.steps)))

    def with_parameters(self, parameters: Mapping[str, object]) -> Definition:
        """Return the definition with these values, texts among them, in its recipe or its schedule.

        Raises Invalid on an unknown parameter or another kind of value, MethodError on a value that trains nothing.
        """
        definition = self
        for name, value in parameters.items():
            definition = definition._with(name, str(value))
        return definition

    def changes(self, usual: Definition) -> Iterator[str]:
        """Yield the parameters that differ from those of another definition of the method, as text."""
        for part, owner in self._owners().items():
            for field in fields(owner):
                value, other = getattr(owner, field.name), getattr(getattr(usual, part), field.name)
                if value != other:
                    yield f"{field.name}={value}" + ("" if other is None else f" (usually {other})")

    def _owners(self) -> dict[str, Any]:
        parts = {"recipe": self.recipe, "schedule": self.schedule}
        return {part: owner for part, owner in parts.items() if owner is not None}

    def _with(self, name: str, text: str) -> Definition:
        for part, owner in self._owners().items():
            if name in {field.name for field in fields(owner)}:
                value = _as(getattr(owner, name), name, text)
                changed = owner.with_value(name, value) if part == "recipe" else replace(owner, **{name: value})
                return replace(self, **{part: changed})
        names = sorted(field.name for owner in self._owners().values() for field in fields(owner))
        raise Invalid(f"there is no parameter {name!r}", f"this method has {', '.join(names) or 'none'}")

    def import_needed(self) -> None:
        """Import the package that it needs before a training is timed; raises Invalid if it is not installed."""
        try:
            if self.needs:
                import_module(self.needs)
        except ImportError as error:
            raise Invalid(f"this method needs {self.needs}", "pip install 'diffserver[experiment]'") from error


def _as(current: Any, name: str, text: str) -> Any:
    """Return the text as a value of the current one's type: a whole number, a number, a truth value or a name."""
    try:
        if isinstance(current, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(current, str):
            return text
        return int(text) if isinstance(current, int) or current is None else float(text)
    except (ValueError, KeyError) as error:
        raise Invalid(f"{name}={text} is no value like {current}", "give a number, or true or false") from error


def load_definition(name: str) -> Definition:
    """Return the definition of that name; raises MethodError if there is none."""
    entry = METHODS.get(name)
    if entry is None or entry.definition is None:
        names = ", ".join(name for name, entry in METHODS.items() if entry.definition)
        raise MethodError(f"there is no method {name!r}; known: {names}")
    module, _, variable = entry.definition.partition(":")
    definition: Definition = getattr(import_module(module), variable)
    return definition
