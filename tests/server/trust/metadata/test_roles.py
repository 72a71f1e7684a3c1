import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.trust.metadata import roles


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("timestamp.json", ("timestamp", None)),
        ("1.root.json", ("root", 1)),
        ("12.speech.v2.json", ("speech.v2", 12)),
        ("5.1.root.json", ("1.root", 5)),
        ("3.speech+archive-15.json", ("speech+archive-15", 3)),
        ("1.timestamp.json", None),
        ("root.json", None),
        ("0.root.json", None),
        ("01.root.json", None),
        ("1.root.json.json", ("root.json", 1)),
        ("1..json", None),
        ("1.root", None),
        ("1.Root.json", None),
        ("1./../root.json", None),
        ("1.root.json\n", None),
        ("٣.root.json", None),
        ("99999999999.root.json", None),
        ("", None),
    ],
)
def test_what_a_files_name_means(name: str, meaning: object) -> None:
    assert roles.parse_file(name) == meaning


MODELS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True).filter(lambda name: name not in roles.TOP)


@given(MODELS, st.integers(0, 10**6), st.integers(1, 10**6))
def test_names_lead_back(model: str, number: int, version: int) -> None:
    for role in (model, roles.archive_of(model), roles.shard_of(model, number)):
        assert roles.parse_file(roles.file_name(role, version)) == (role, version)
        assert roles.model_of(role) == model
    assert roles.delegator(roles.shard_of(model, number)) == roles.archive_of(model)
    assert roles.delegator(roles.archive_of(model)) == model
    assert roles.delegator(model) == "targets"


@given(MODELS, MODELS, st.integers(0, 100))
def test_no_models_role_is_anothers(first: str, second: str, number: int) -> None:
    mine = {first, roles.archive_of(first), roles.shard_of(first, number)}
    others = {second, roles.archive_of(second), roles.shard_of(second, number)}
    assert first == second or not mine & others
