"""Files of lines and probe sets: whatever is a JSON object a line goes through both, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffclient.measure.probe_set import INDEX, read_part
from diffserver.tasks import DataError
from diffserver.tasks.jsonl import read_lines
from diffserver.tasks.probe_pack import pack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3),
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=5)
NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OBJECTS, st.dictionaries(NAMES, st.binary(max_size=40), max_size=4))
def test_lines_and_files_arrive_as_they_are(tmp_path: Path, lines: list[Any], files: dict[str, bytes]) -> None:
    path, part = tmp_path / "lines.jsonl", tmp_path / "part"
    path.write_text("\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    read = read_lines(path)
    assert [line.fields for line in read] == lines
    assert [line.place for line in read] == [f"{path}:{2 * number + 1}" for number in range(len(lines))]
    part.write_bytes(pack([line.fields for line in read], files))
    assert part.read_bytes() == pack(lines, files)
    examples = read_part(part, lambda fields, open_: (fields.values, {name: open_(name) for name in files}))
    assert examples == [(line, files) for line in lines]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no example"),
        (b"\n \n", "holds no example"),
        (b'{"a": 1}\n{', "lines.jsonl:2: the line is not JSON"),
        (b'{"a": 1}\n[1]', "lines.jsonl:2: the line is not a JSON object"),
        (b'{"a": NaN}', "lines.jsonl:1: the line is not JSON: NaN is not a number"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b'{"a": "\xff"}', "lines.jsonl:1: the line is not JSON"),
        (b"[" * 100_000, "not JSON"),
        (None, "cannot read the examples"),
    ],
)
def test_what_is_no_file_of_lines_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "lines.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lines(path)


def test_the_list_of_a_part_has_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(pack([{"a": 1}], {}))
    assert read_part(tmp_path / "part", lambda _, open_: open_(INDEX)) == [b'{"a":1}\n']
