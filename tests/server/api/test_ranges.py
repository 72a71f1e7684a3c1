import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.api.ranges import Span, Unsatisfiable, known, wanted

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=90-500", 90, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-500", 0, 100),
        ("Bytes= 5 - 6 ", 5, 7),
    ],
)
def test_one_range(header: str, start: int, stop: int) -> None:
    assert wanted(100, TAG, header, None) == Span(start, stop, 100)


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=0-1,5-6", "lines=0-1", "bytes=0x1-5"),
        *("bytes=٣-٤", "bytes=--1", "bytes=0-1-2", f"bytes={'9' * 30}-"),
    ],
)
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    assert wanted(100, TAG, header, None) is None


@pytest.mark.parametrize(
    ("length", "header"), [(100, "bytes=100-"), (100, "bytes=-0"), (0, "bytes=0-"), (0, "bytes=-5")]
)
def test_a_range_behind_the_end(length: int, header: str) -> None:
    with pytest.raises(Unsatisfiable, match=rf"bytes \*/{length}"):
        wanted(length, TAG, header, None)


@pytest.mark.parametrize(
    ("if_range", "part"),
    [(None, True), (TAG, True), (f" {TAG} ", True), ('"other"', False), (f"W/{TAG}", False), ("Tue, 1 Jan", False)],
)
def test_a_range_holds_only_for_the_same_bytes(if_range: str | None, part: bool) -> None:
    assert (wanted(100, TAG, "bytes=5-", if_range) is not None) is part


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, False), ("", False), (TAG, True), (f"W/{TAG}", True), (f'"x", {TAG}', True), ("*", True), ('"x"', False)],
)
def test_what_the_caller_has_already(header: str | None, expected: bool) -> None:
    assert known(TAG, header) is expected


@given(st.integers(0, 1000), st.text(alphabet="bytes=-, 0123456789", max_size=20))
def test_any_header_gives_a_part_inside_the_bytes(length: int, header: str) -> None:
    try:
        span = wanted(length, TAG, header, None)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.stop <= length
