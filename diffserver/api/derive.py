"""Models with the fields of a client's dataclass, so that what travels is described once, where it is made."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import AfterValidator, StringConstraints

from diffclient.bounds import Allowed, Choice, Number, Text, allowed
from diffserver.api.fields import as_line

Model = TypeVar("Model", bound=pydantic.BaseModel)


def with_fields_of(dataclass: type) -> Callable[[type[Model]], type[Model]]:
    """Give a model the fields of a dataclass: types, bounds, defaults, and what is said of them."""
    defaults = {field.name: ... if field.default is MISSING else field.default for field in fields(dataclass)}
    definitions: dict[str, Any] = {
        name: (_type(may), pydantic.Field(defaults[name], **_about(may))) for name, may in allowed(dataclass).items()
    }

    def add(model: type[Model]) -> type[Model]:
        return pydantic.create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **definitions
        )

    return add


def _type(may: Allowed) -> Any:
    within = _within(may)
    return within | None if may.nullable else within


def _within(may: Allowed) -> Any:
    match may.bound:
        case Number(least, most):
            return Annotated[may.type, pydantic.Field(ge=least, le=most)]
        case Text(least, most, ""):
            length = StringConstraints(min_length=least, max_length=most)
            return Annotated[str, length, AfterValidator(partial(as_line, least=least, most=most))]
        case Text(least, most, pattern):
            return Annotated[str, StringConstraints(min_length=least, max_length=most, pattern=f"^{pattern}$")]
        case Choice(texts):
            return Literal[texts]


def _about(may: Allowed) -> dict[str, Any]:
    return {"description": may.about.text, "examples": [may.about.example]} if may.about else {}
