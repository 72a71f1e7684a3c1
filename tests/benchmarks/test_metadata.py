"""The metadata benchmark on few versions: over a shard's border the bars hold, and history is found."""

from __future__ import annotations

from pathlib import Path

from benchmarks.metadata import BARS, BEHIND, measure, missed


def test_polls_stay_small_while_versions_grow(tmp_path: Path) -> None:
    polls = measure(tmp_path, 68)
    assert missed(polls) == []
    assert set(polls) == {*BARS, "first install", f"{BEHIND} versions behind"}
    assert set(polls["nothing new"].by_name) == {"poll", "2.root.json", "timestamp.json"}
    assert [name.partition(".")[2] for name in polls["one new diff"].by_name] == [
        "",
        "root.json",
        "json",
        "snapshot.json",
        "commands.json",
    ]
    behind = polls[f"{BEHIND} versions behind"].by_name
    assert sum("archive-0" in name for name in behind) == 1
    assert all(size > 0 for bodies in polls.values() for size in bodies.by_name.values())
