"""A scorer of one's own: the same figures from examples in memory and from probe sets, files included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffclient.errors import ProbationFailed, ProbeError
from diffclient.measure import probation
from diffclient.measure.error_count import Errors
from diffclient.measure.onnx_session import Session
from diffclient.measure.probation import Score
from diffclient.measure.scorer import Fields, Opener, Scorer
from diffserver.tasks.probe_pack import pack
from tests.client import sums


def inputs(examples: Sequence[Any]) -> dict[str, Any]:
    return {"value": np.array([example["value"] for example in examples], np.float32)}


def errors(outputs: Sequence[Any], examples: Sequence[Any]) -> Errors:
    """Sums that are not as they should be; numpy's numbers, as one forgets to convert them."""
    wrong = np.sum(outputs[0] != np.array([example["sum"] for example in examples]))
    return Errors(wrong, np.int64(outputs[0].size))  # type: ignore[arg-type]


def read_values(fields: Fields, open_: Opener) -> dict[str, Any]:
    """The values are in a file of their own."""
    return {**fields, "value": np.frombuffer(open_(fields["file"]), np.float32)}


PLAIN: Score = Scorer(inputs, errors, together=4)
WITH_FILES: Score = Scorer(inputs, errors, read_values, together=4)
BIAS = np.array([1, 2, 3], np.float32)


def examples(count: int, wrong: int) -> list[dict[str, Any]]:
    """Sums, the first of which are wrong in one place."""
    drawn = np.random.default_rng(0).integers(-9, 9, (count, sums.SIDES))
    said = drawn + BIAS
    said[:wrong, 0] += 1
    return [{"value": value.tolist(), "sum": total.tolist()} for value, total in zip(drawn, said, strict=True)]


def part(path: Path, lines: Sequence[Fields], files: dict[str, bytes] | None = None) -> Path:
    path.write_bytes(pack(lines, files or {}))
    return path


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "graph").write_bytes(sums.graph())
    return tmp_path / "graph"


def test_parts_and_examples_in_memory_make_the_same_errors(tmp_path: Path, graph: Path) -> None:
    weights = sums.version(tmp_path / "w", BIAS)
    ten, three = examples(10, wrong=3), examples(3, wrong=0)
    found = PLAIN(graph, weights, [part(tmp_path / "1", ten), part(tmp_path / "2", three)])
    assert found == [Errors(3, 30), Errors(0, 9)]
    assert isinstance(PLAIN, Scorer)
    assert PLAIN.measure(Session(sums.graph(), weights), ten) == found[0]
    assert PLAIN.measure(Session(sums.graph(), weights), []) == Errors(0, 0)
    assert json.dumps([found[0].errors, found[0].total]) == "[3, 30]"


def test_answers_may_take_more_than_one_call_of_the_graph(tmp_path: Path, graph: Path) -> None:
    def twice(session: Session, some: Sequence[Any]) -> Sequence[Any]:
        """The first answer is what goes in next."""
        (first,) = session.run(inputs(some))
        return session.run({"value": first})

    weights, given = sums.version(tmp_path / "w", BIAS), examples(6, wrong=0)
    expected = [{**example, "sum": (np.array(example["sum"]) + BIAS).tolist()} for example in given]
    scorer = Scorer(inputs, errors, together=4, answers=twice)
    assert scorer(graph, weights, [part(tmp_path / "1", expected)]) == [Errors(0, 18)]


def test_the_files_that_lines_name_are_read_from_the_part(tmp_path: Path, graph: Path) -> None:
    lines = examples(5, wrong=2)
    files = {f"{number}.raw": np.array(line.pop("value"), np.float32).tobytes() for number, line in enumerate(lines)}
    named = [line | {"file": name} for line, name in zip(lines, files, strict=True)]
    weights = sums.version(tmp_path / "w", BIAS)
    assert WITH_FILES(graph, weights, [part(tmp_path / "whole", named, files)]) == [Errors(2, 15)]
    with pytest.raises(ProbeError, match=r"lacks '0\.raw'"):
        WITH_FILES(graph, weights, [part(tmp_path / "none", named)])


def test_a_part_that_the_authors_code_does_not_expect_fails_probation(tmp_path: Path, graph: Path) -> None:
    odd = part(tmp_path / "odd", [{"other": 1}])
    with pytest.raises(ProbationFailed, match="KeyError: 'value'"):
        probation.run(PLAIN, graph, sums.version(tmp_path / "w", BIAS), [odd])


def test_a_scorer_is_found_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("number = 3\ndef score(graph, weights, parts):\n    return []\n")
    assert list(probation.load_score(f"{tmp_path}/mine.py:score")(tmp_path, None, [])) == []  # type: ignore[arg-type]
    with pytest.raises(ProbationFailed, match="cannot be called"):
        probation.load_score(f"{tmp_path}/mine.py:number")
