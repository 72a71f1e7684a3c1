"""A method's definition for a task: the package's defaults, the task's own recipe, and a request's parameters."""

from __future__ import annotations

from collections.abc import Mapping

from diffserver.choices.methods import METHODS
from diffserver.errors import Invalid
from diffserver.methods.definition import Definition, load_definition
from diffserver.methods.method import MethodError
from diffserver.tasks import GivesRecipes, TaskError


def definition_of(task: object, method: str, parameters: Mapping[str, str] | None = None) -> Definition:
    """Return a method's definition with the task's recipe for it, and then with these parameters.

    Raises TaskError if the task's recipe is none, Invalid on an unknown parameter or a wrong value.
    """
    definition = _of_task(task, method)
    try:
        return definition.with_parameters(parameters or {})
    except Invalid as error:
        raise Invalid(f"{method}: {error.detail}", error.remedy) from error
    except MethodError as error:
        raise Invalid(f"{method}: {error}") from error


def _of_task(task: object, method: str) -> Definition:
    definition = load_definition(method)
    if not isinstance(task, GivesRecipes):
        return definition
    for name in task.recipes:
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise TaskError(f"the task has a recipe for {name!r}, which is no method: choose among {known}")
    try:
        return definition.with_parameters(task.recipes.get(method, {}))
    except (Invalid, MethodError) as error:
        raise TaskError(f"the task's recipe for {method}: {error}") from error
