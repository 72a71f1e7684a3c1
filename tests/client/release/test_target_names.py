from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import ManifestError
from diffclient.release import target_names
from diffclient.release.target_names import Name, parse

MODELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda model: model not in ("root", "targets", "snapshot", "timestamp")
)
NUMBERS = st.integers(0, 10**15 - 1)
SHA256 = "0123456789abcdef" * 4


@given(MODELS, NUMBERS, NUMBERS)
def test_what_is_made_is_taken_apart(model: str, number: int, parent: int) -> None:
    assert parse(target_names.snapshot_name(model, number)) == Name(model, "snapshot", number)
    assert parse(target_names.downgrade_name(model, number)) == Name(model, "downgrade", number)
    assert parse(target_names.graph_name(model, SHA256)) == Name(model, "graph", prefix=SHA256[:16])
    assert parse(target_names.probe_name(model, SHA256)) == Name(model, "probe", prefix=SHA256[:16])
    if number != parent:
        assert parse(target_names.diff_name(model, number, parent)) == Name(model, "diff", number, parent)


def test_the_spelling_is_the_documented_one() -> None:
    assert target_names.snapshot_name("asr", 64) == "asr/v1/64.snapshot"
    assert target_names.diff_name("asr", 63, 62) == "asr/v0/63.from.62"
    assert target_names.downgrade_name("asr", 7) == "asr/v0/7.downgrade"
    assert target_names.graph_name("asr", SHA256) == "asr/graph/0123456789abcdef"


HOSTILE = """
asr
asr/v0/5
asr/v0/05.snapshot
asr/v00/5.snapshot
asr/v1/5.snapshot
asr/v0/64.snapshot
asr/v0/-5.snapshot
asr/v0/5.snapshot/
asr/v0/5.SNAPSHOT
asr/v0/5.from.
asr/v0/5.from.5
asr/v0/5.from.04
asr/v0/5.from.4.from.3
asr/v0/٥.snapshot
asr/v0/9999999999999999999999.snapshot
asr/graph/0123456789ABCDEF
asr/graph/0123456789abcde
asr/graph/../../../etc/passwd
../asr/v0/5.snapshot
../v0/5.snapshot
./v0/5.snapshot
/v0/5.snapshot
//v0/5.snapshot
root/v0/5.snapshot
timestamp/v0/5.snapshot
a*/v0/5.snapshot
a+archive/v0/5.snapshot
asr/v0/5.snapshot?x
asr/v0/5.snap\x00shot
"""


@pytest.mark.parametrize("name", ["", *HOSTILE.split(), "asr/v0/5.snapshot\n", "x" * 200 + "/v0/5.snapshot"])
def test_any_other_spelling_is_refused(name: str) -> None:
    with pytest.raises(ManifestError):
        parse(name)


@given(st.text(max_size=40))
def test_no_text_has_two_names(text: str) -> None:
    """What can be taken apart is spelt as it would be made."""
    try:
        parsed = parse(text)
    except ManifestError:
        return
    assert text.startswith(f"{parsed.model}/")


@pytest.mark.parametrize("model", ["root", "targets", "snapshot", "timestamp", "", ".", "..", "-x", "a/b", "a+b", "ä"])
def test_models_that_would_collide_are_refused(model: str) -> None:
    with pytest.raises(ManifestError):
        target_names.check_model(model)


@pytest.mark.parametrize("model", ["asr", "1.root", "root_history", "a.b-c_d", "targets2"])
def test_models_that_do_not(model: str) -> None:
    assert target_names.check_model(model) == model
