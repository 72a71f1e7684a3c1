"""The sentences of a long chain's updates: as new, each, as those of the first five."""

from __future__ import annotations

import random

import pytest

from diffserver.tasks.asr.commands import BASE_WORDS, DOMAINS, UPDATES, new_words, sentence
from diffserver.tasks.asr.domain import Domain
from diffserver.tasks.asr.more_updates import MORE_UPDATES


def words(domain: Domain, count: int) -> set[str]:
    rng = random.Random(0)
    return {word for _ in range(count) for word in sentence(domain, rng).split()}


def test_twenty_updates_come_in_the_order_of_their_numbers() -> None:
    numbers = [int(domain.name.partition("-")[0]) for domain in DOMAINS]
    assert numbers == list(range(21))
    assert DOMAINS[1:6] == UPDATES


def test_names_are_new_everywhere() -> None:
    names = [word for domain in DOMAINS[1:] for word in new_words(domain)]
    assert len(names) == len(set(names))
    assert BASE_WORDS.isdisjoint(names)


@pytest.mark.parametrize("domain", MORE_UPDATES, ids=lambda domain: domain.name)
def test_only_names_are_new(domain: Domain) -> None:
    assert len(domain.new) == 8
    assert words(domain, 2000) - BASE_WORDS == new_words(domain)
