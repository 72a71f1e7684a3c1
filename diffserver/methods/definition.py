"""The definition of a method: how it is made and trained, and what it needs beforehand.

Each method's file ends with its definition; which names there are is `choices.methods`'s to say.
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
"""Which fully retrained model a method compresses: none, one trained from its own parent, or the full chain's."""


@dataclass(frozen=True)
class Definition:
    """One way to make a version."""

    build: Callable[..., Method]
    """From a setting and, where there is one, the schedule."""
    recipe: Recipe | None = None
    """None: nothing is trained."""
    schedule: Any = None
    """A frozen dataclass of the method's own parameters; None where it has none."""
    helpers: tuple[str, ...] = ()
    """The modules beside its own whose code decides what comes of it."""
    teacher: Teacher = "none"
    needs: str | None = None
    """A package of the extra `experiment`."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The method's own module and its helpers."""
        return (self.build.__module__, *self.helpers)

    def make(self, setting: Setting) -> Method:
        """Return the method on a setting; raises MethodError if it cannot work there."""
        return self.build(setting) if self.schedule is None else self.build(setting, self.schedule)

    def lasting(self, epochs: int | None) -> Definition:
        """Return it with a training of so many epochs, or as it is; raises MethodError if that is none at all."""
        return replace(self, recipe=self.recipe and self.recipe.lasting(epochs))

    def shortened(self, steps: int) -> Definition:
        """Return it with a training of at most so many steps."""
        return replace(self, recipe=self.recipe and replace(self.recipe, steps=min(steps, self.recipe.steps)))

    def import_needed(self) -> None:
        """Import what it needs, so that no training is timed with it; raises Invalid if that is not installed."""
        try:
            if self.needs:
                import_module(self.needs)
        except ImportError as error:
            raise Invalid(f"this method needs {self.needs}", "pip install 'diffserver[experiment]'") from error


def load_definition(name: str) -> Definition:
    """Return the definition of that name; raises MethodError if there is none."""
    entry = METHODS.get(name)
    if entry is None or entry.place is None:
        known = ", ".join(name for name, entry in METHODS.items() if entry.place)
        raise MethodError(f"there is no method {name!r}; known: {known}")
    module, _, variable = entry.place.partition(":")
    definition: Definition = getattr(import_module(module), variable)
    return definition
