"""What an experiment is asked to do, and what cannot be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from diffserver.errors import Invalid
from diffserver.experiment import plan
from diffserver.experiment.plan import Domain, entries, find_domains
from diffserver.methods.definition import load_definition
from tests.server.experiment.toy_experiments import planned, write_domain, write_domains


def test_methods_carry_parameters_and_budgets() -> None:
    sparse = load_definition("sparse")
    (plainly, first, second, lora) = entries(
        ["sparse", "sparse:spread=0.5,steps=90@0.04,0.01", "full:steps=9", "lora:learning_rate=1e-2"], [0.02]
    )
    assert (plainly.label, plainly.budget, plainly.definition) == ("sparse", 0.02, sparse)
    assert [first.budget, second.budget] == [0.04, 0.01]
    assert first.label == second.label == "sparse:spread=0.5,steps=90"
    assert sparse.recipe is not None
    assert first.definition.recipe == replace(sparse.recipe, steps=90)
    assert first.definition.schedule.spread == 0.5
    assert lora.definition.recipe is not None
    assert lora.definition.recipe.learning_rate == 0.01
    recipes = [plan.reference(["sparse", "full:steps=9"], name).recipe for name in ("base", "full")]
    assert [recipe and recipe.steps for recipe in recipes] == [2000, 9]


def test_a_package_that_a_method_needs_is_named_at_once() -> None:
    with pytest.raises(Invalid, match=r"needs nowhere\.to\.be\.found.*pip install"):
        replace(load_definition("lora"), needs="nowhere.to.be.found").import_needed()


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        (["dense"], "no method 'dense'"),
        (["sparse:depth=3"], "no parameter 'depth'"),
        (["sparse:steps=many"], "steps=many"),
        (["sparse@much"], "'much'"),
        (["sparse@2"], "no share"),
        (["sparse@0"], "no share"),
        (["topk", "topk"], "twice"),
        (["factorised:steps=3"], "none"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(methods: list[str], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        entries(methods, [0.02])


def test_domains_come_by_number_and_too_few_are_refused(tmp_path: Path) -> None:
    for name in ("10-ten", "2-two", "0-base", "extra", "1-one"):
        write_domain(tmp_path / name, [0], seed=0)
    (tmp_path / "3-empty").mkdir()
    names = [domain.name for domain in find_domains(tmp_path, 4)]
    assert names == ["0-base", "1-one", "2-two", "10-ten", "extra"]
    with pytest.raises(Invalid, match="5 domains, and 5 updates need 6"):
        find_domains(tmp_path, 5)
    with pytest.raises(Invalid, match="at least 1"):
        find_domains(tmp_path, 0)


def test_a_fingerprint_changes_with_content_and_names(tmp_path: Path) -> None:
    seen: set[str] = set()
    for text, name in (("a", "one"), ("b", "one"), ("a", "two"), ("ab", "one")):
        folder = tmp_path / str(len(seen))
        folder.mkdir()
        (folder / name).write_text(text)
        seen.add(Domain(folder).fingerprint)
    assert len(seen) == 4


def test_shortened_plans_train_little(tmp_path: Path) -> None:
    short = plan.shortened(planned(write_domains(tmp_path), "sparse"), 7, 5)
    assert [
        definition.recipe and definition.recipe.steps
        for definition in (short.base, short.full, short.entries[0].definition)
    ] == [
        7,
        5,
        5,
    ]
