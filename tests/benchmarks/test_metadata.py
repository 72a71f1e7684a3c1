"""The metadata benchmark on few versions: over a shard's border the bars hold, and history is found."""

from __future__ import annotations

from pathlib import Path

from benchmarks.metadata import BARS, BEHIND, measure, missed


def test_polls_stay_small_while_versions_grow(tmp_path: Path) -> None:
    found = measure(tmp_path, 68)
    assert missed(found) == []
    assert set(found) == {*BARS, "first install", f"{BEHIND} versions behind"}
    assert set(found["nothing new"].by_name) == {"poll", "2.root.json", "timestamp.json"}
    assert [name.partition(".")[2] for name in found["one new diff"].by_name] == [
        "",
        "root.json",
        "json",
        "snapshot.json",
        "commands.json",
    ]
    behind = found[f"{BEHIND} versions behind"].by_name
    assert sum("archive-0" in name for name in behind) == 1
    assert all(size > 0 for bodies in found.values() for size in bodies.by_name.values())
