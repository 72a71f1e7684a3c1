"""Word errors, counted as others count them."""

from __future__ import annotations

from collections.abc import Sequence

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from diffclient.measure.word_errors import word_errors

WORDS = st.lists(st.sampled_from(["call", "anna", "the", "a", "light"]), max_size=8)


@given(WORDS.filter(bool), WORDS)
def test_word_errors_are_those_of_jiwer(reference: Sequence[str], hypothesis: Sequence[str]) -> None:
    expected = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    counted = expected.substitutions + expected.insertions + expected.deletions
    assert word_errors(" ".join(reference), " ".join(hypothesis)) == counted
