from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diffclient.payload import fit_codebooks
from diffclient.payload.codebook import RANGE_LIMIT, TOTAL


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 7))
def test_ranges_cover_what_was_asked_for_without_gaps(first: int, second: int, detail: int) -> None:
    low, high = sorted((first, second))
    ranges = fit_codebooks.ranges(low, high, detail)
    ends = [int(base) + (1 << width) for base, width in zip(ranges.bases, ranges.widths, strict=True)]
    assert ranges.bases[0] <= low
    assert ends[:-1] == ranges.bases[1:].tolist()
    assert high < ends[-1] <= 2**63


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (-7, 7), (-128, 127), (5, 9), (0, 2**24), (-(2**25), 2**25), (-(2**63), 2**63 - 1)]
)
def test_the_finest_ranges_fit_a_codebook(low: int, high: int) -> None:
    ranges = fit_codebooks.finest(low, high)
    assert len(ranges.widths) <= RANGE_LIMIT
    assert high - low > 255 or set(ranges.widths) == {0}


@given(
    st.integers(-(2**63), 2**63 - 2**12),
    st.integers(0, 11),
    st.sampled_from([0, 40, 2000]),
    st.integers(0, 3),
)
def test_numbers_are_counted_alike_whether_they_are_close_together_or_not(
    low: int, width: int, count: int, detail: int
) -> None:
    numbers = low + np.random.default_rng(width).integers(0, 1 << width, count)
    ranges = fit_codebooks.ranges(low, low + (1 << width) - 1, detail)
    searched = np.searchsorted(ranges.bases, numbers, "right") - 1
    assert ranges.count(numbers).tolist() == np.bincount(searched, minlength=len(ranges.bases)).tolist()


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-5, 9), (-(2**62), 2**62), (-(2**63), 2**63 - 1)])
def test_plain_bits_fit_a_codebook(low: int, high: int) -> None:
    ranges = fit_codebooks.single(low, high)
    assert ranges.codebook(ranges.count(np.array([low, high]))).flaw is None


rare = st.lists(st.integers(0, 1), max_size=255)
peaks = st.tuples(st.integers(0, 10**9), rare).map(lambda pair: [pair[0], *pair[1]])


@given(st.one_of(st.lists(st.integers(0, 10**6), min_size=1, max_size=256), peaks).filter(any))
@example([200_000, *[1] * 5, *[0] * 33, 1])
@example([200_000, *[1] * 10, *[0] * 28, 1])
def test_frequencies_add_up_and_keep_what_is_used(counts: list[int]) -> None:
    frequencies = fit_codebooks.frequencies(np.array(counts))
    assert sum(frequencies) == TOTAL
    assert [frequency > 0 for frequency in frequencies] == [count > 0 for count in counts]


def test_frequencies_cost_little_more_than_entropy() -> None:
    counts = (1e5 * np.exp(-np.arange(60) / 5)).astype(np.int64) + 1
    cost = -float(counts @ np.log2(np.array(fit_codebooks.frequencies(counts)) / TOTAL))
    assert cost < 1.002 * fit_codebooks.entropy(counts)


def test_a_codebook_leaves_out_what_is_unused_at_its_ends() -> None:
    ranges = fit_codebooks.ranges(-3, 3, 7)
    book = ranges.codebook(ranges.count(np.array([-1, 1, 1])))
    assert (book.low, book.widths) == (-1, (0, 0, 0))
    assert book.flaw is None


def test_alike_histograms_share_a_group_and_others_do_not() -> None:
    steep, flat = np.array([9000, 900, 90, 9]), np.array([2500, 2500, 2500, 2500])
    member, groups = fit_codebooks.cluster([steep, flat, 2 * steep, flat + 10])
    assert member[0] == member[2] != member[1] == member[3]
    assert sum(map(np.sum, groups)) == sum(map(np.sum, [steep, flat, 2 * steep, flat + 10]))


def test_thrift_makes_fewer_groups() -> None:
    histograms = [np.roll([1000, 100, 10, 1], shift) for shift in range(4)]
    assert len(fit_codebooks.cluster(histograms)[1]) > len(fit_codebooks.cluster(histograms, thrift=1e6)[1]) == 1
