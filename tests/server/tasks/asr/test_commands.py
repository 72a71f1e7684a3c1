"""The sentences of the reference corpus."""

from __future__ import annotations

import random

import pytest

from diffserver.tasks.asr.commands import BASE, BASE_WORDS, DOMAINS, UPDATES, new_words, sentence
from diffserver.tasks.asr.domain import Domain
from diffserver.tasks.asr.manifests import LETTERS


def sentences(domain: Domain, count: int = 600, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [sentence(domain, rng) for _ in range(count)]


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_sentences_are_filled_seeded_and_in_the_alphabet(domain: Domain) -> None:
    drawn = sentences(domain)
    assert drawn == sentences(domain) != sentences(domain, seed=1)
    assert set("".join(drawn)) <= set(LETTERS)
    assert len(set(drawn)) > 20


def test_base_words_are_those_that_the_base_says() -> None:
    said = {word for text in sentences(BASE, 5000) for word in text.split()}
    assert said == BASE_WORDS


@pytest.mark.parametrize("domain", UPDATES, ids=lambda domain: domain.name)
def test_new_names_occur_in_their_own_update_alone(domain: Domain) -> None:
    others = [other for other in DOMAINS if other is not domain]
    elsewhere = {word for other in others for text in sentences(other, 2000) for word in text.split()}
    assert new_words(domain).isdisjoint(elsewhere)
    assert all(any(name in text for name in domain.new) for text in sentences(domain))
