"""JSON from outside: what is asked for is read, everything else is named and refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from diffclient.errors import StateError
from diffclient.strict_json import Fields, fields_of, parse

VALUES = {"text": "two", "list": ["a", "b"], "objects": [{"n": 1}, {"n": 2}], "object": {"n": 3}, "null": None}


def fields(**changed: object) -> Fields:
    return fields_of(VALUES | changed, "it", StateError)


def test_what_is_there_is_read() -> None:
    it = parse(json.dumps(VALUES).encode(), "it", StateError)
    assert it.only(*VALUES) == it
    assert (it.text("text", 3), it.choice("text", ("one", "two")), it.texts("list", 2)) == ("two", "two", ["a", "b"])
    assert [item.count("n") for item in it.objects("objects", 2)] == [1, 2]
    assert it.inside("object").whole("n") == 3
    assert it.maybe("null", it.text) is it.maybe("absent", it.text) is None


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda: fields().only("text"), "it: missing or unknown fields: list, null, object, objects$"),
        (lambda: fields().only(*VALUES, "more"), "it: missing or unknown fields: more$"),
        (lambda: fields().text("text", 2), "it: text is not a text of 1 to 2 characters"),
        (lambda: fields(text="a\0").text("text"), "it: text is not a text"),
        (lambda: fields(text="\ud800").text("text"), "it: text is not a text"),
        (lambda: fields().choice("text", ("one", "three")), "text is 'two', and this client knows one, three: "),
        (lambda: fields(text=["one"]).choice("text", ("one",)), "it: text is not a text"),
        (lambda: fields().texts("list", 1), "it: list is not a list of at most 1 items"),
        (lambda: fields(list=["a", 1]).texts("list", 2), "it: an item of list is not a text"),
        (lambda: fields(objects=[{}, 1]).objects("objects", 2), "it: an item of objects is not a JSON object"),
        (lambda: fields().inside("list"), "it: list is not a JSON object"),
        (lambda: fields().inside("object").text("n"), "it: object: n is not a text"),
    ],
)
def test_what_is_not_as_asked_is_named(read: Callable[[], object], told: str) -> None:
    with pytest.raises(StateError, match=told):
        read()


@pytest.mark.parametrize("data", [b'{"a": 1, "a": 1}', b'{"a": NaN}', b"[" * 100_000, b"\xff", b"", b"[]", b"3"])
def test_what_is_no_honest_object_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match=r"^it is not"):
        parse(data, "it", StateError)
