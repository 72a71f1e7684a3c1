"""A field that is added to a client's dataclass is sent, read, asked for and demanded of the table, without more."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, String, Table
from sqlalchemy import Text as TextColumn

from diffclient.bounds import About, Number, Text, allowed, read
from diffclient.errors import StateError
from diffclient.network.report import Report
from diffclient.strict_json import fields_of
from diffserver.api.answers import ReportAnswer
from diffserver.api.derive import with_fields_of
from diffserver.api.requests import ReportRequest
from diffserver.storage import tables
from tests.server.columns import unkept


@dataclass(frozen=True)
class WarmReport(Report):
    """A report with one field more."""

    celsius: Annotated[Annotated[int, Number(-90, 200)] | None, About("How warm the device is.", 41)] = None


@with_fields_of(WarmReport)
class WarmRequest(BaseModel):
    """What became of an update, and how warm it was."""

    model_config = ConfigDict(extra="forbid")
    id: int = 0


WARM = {"stage": "installed", "celsius": 41}


def test_a_field_more_is_sent_and_read_strictly() -> None:
    told = json.loads(json.dumps(WarmReport("installed", celsius=41).to_json()))
    assert told["celsius"] == 41
    assert read(WarmReport, fields_of(told, "report", StateError)).celsius == 41
    with pytest.raises(StateError, match="celsius is not a number from -90 to 200"):
        read(WarmReport, fields_of(told | {"celsius": 201}, "report", StateError))


def test_a_field_more_is_asked_for_within_its_bounds() -> None:
    def made(**values: Any) -> Any:
        return WarmRequest.model_validate(WARM | values)

    assert made().celsius == 41
    assert made(celsius=None).celsius is None
    assert list(made().model_dump()) == ["id", *allowed(WarmReport)]
    for wrong in ({"celsius": 201}, {"celsius": "hot"}, {"stage": "flying"}, {"kelvin": 314}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            made(**wrong)


def test_a_field_more_is_described() -> None:
    schema = WarmRequest.model_json_schema()
    assert (schema["title"], schema["description"]) == ("WarmRequest", WarmRequest.__doc__)
    assert schema["required"] == ["stage"]
    described = schema["properties"]["celsius"]
    assert (described["description"], described["examples"], described["default"]) == (
        "How warm the device is.", [41], None,
    )  # fmt: skip
    assert described["anyOf"] == [{"type": "integer", "minimum": -90, "maximum": 200}, {"type": "null"}]


def test_a_field_more_needs_a_column() -> None:
    reports = tables.METADATA.tables["reports"]
    assert unkept(Report, reports) == []
    assert unkept(WarmReport, reports) == ["celsius: no column"]


@dataclass(frozen=True)
class Leaf:
    """A field of each kind that a column may be unfit for."""

    shape: Literal["round", "long"]
    area: Annotated[int, Number(0, 2**53)]
    width: Annotated[float, Number(0, 9)] | None
    name: Annotated[str, Text(0, 50)]


COLUMNS = {"shape": String(9), "area": BigInteger(), "width": Double(), "name": TextColumn()}


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("shape", Integer(), "int, not str"),
        ("area", Integer(), "too narrow"),
        ("width", Integer(), "int, not float"),
        ("name", String(49), "too short"),
    ],
)
def test_a_column_must_hold_all_that_a_field_may(name: str, kind: Any, why: str) -> None:
    def table(types: dict[str, Any], nullable: str = "width") -> Table:
        return Table("leaves", MetaData(), *(Column(key, types[key], nullable=key == nullable) for key in types))

    assert unkept(Leaf, table(COLUMNS)) == []
    assert unkept(Leaf, table(COLUMNS | {name: kind})) == [f"{name}: {why}"]
    assert unkept(Leaf, table(COLUMNS, nullable="area")) == ["area: may be null", "width: must not be null"]


@pytest.mark.parametrize("model", [ReportRequest, ReportAnswer])
def test_requests_and_answers_describe_every_field_of_a_report(model: type[BaseModel]) -> None:
    properties = model.model_json_schema()["properties"]
    for name, may in allowed(Report).items():
        described = properties[name]
        assert may.about
        assert (described["description"], described["examples"]) == (may.about.text, [may.about.example])
