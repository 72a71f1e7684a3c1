"""Every file operation of counting errors in the field, and of telling them: nothing is lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from diffclient.store import field_counts
from diffclient.store.field_counts import FieldCount
from diffclient.store.state import State
from diffclient.store.store import Store
from diffclient.update import tell_field
from tests.faults.counting import Act, count, flaws, tell


@pytest.mark.parametrize("act", [count, tell])
def test_every_way_to_fail(act: Act) -> None:
    found = list(flaws(act))
    assert len(found) > 40
    assert [point for point in found if point[1]] == []


def test_forgetting_counts_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gather = tell_field.gather

    def careless(store: Store, state: State, spacing: float) -> State:
        told, save = field_counts.told, Store.save
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "save", lambda self, state: (told(store.root), save(self, state)))
            return gather(store, state, spacing)

    monkeypatch.setattr(tell_field, "gather", careless)
    assert any("the server knows of (0, 0)" in flaw for _, flaw in flaws(tell))


def test_counting_without_a_draft_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_place(path: Path, counts: Sequence[FieldCount]) -> None:
        path.write_bytes(b"")
        write(path, counts)

    write = field_counts._write
    monkeypatch.setattr(field_counts, "_write", in_place)
    assert any(flaw for _, flaw in flaws(count))
