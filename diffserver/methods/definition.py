"""The definition of a method: how it is made and trained, and what it needs.

Each method's module ends with its definition. The names of methods are left to `choices.methods`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
        return replace(self, recipe=self.recipe and replace(self.recipe, steps=min(steps, self.recipe.steps)))

    def import_needed(self) -> None:
        """Import the package that it needs before a training is timed; raises Invalid if it is not installed."""
        try:
            if self.needs:
                import_module(self.needs)
        except ImportError as error:
            raise Invalid(f"this method needs {self.needs}", "pip install 'diffserver[experiment]'") from error


def load_definition(name: str) -> Definition:
    """Return the definition of that name; raises MethodError if there is none."""
    entry = METHODS.get(name)
    if entry is None or entry.definition is None:
        names = ", ".join(name for name, entry in METHODS.items() if entry.definition)
        raise MethodError(f"there is no method {name!r}; known: {names}")
    module, _, variable = entry.definition.partition(":")
    definition: Definition = getattr(import_module(module), variable)
    return definition
