"""What a device fetches for a version, by what it has already; and what a probe set can tell."""

from __future__ import annotations

from dataclasses import replace

from diffclient.measure.probation import chance_to_pass
from diffclient.release.manifest import Blob, Manifest, Probe, from_json
from diffserver.catalog.what_travels import ProbeSet, ToFetch, probe_set, to_fetch
from tests.server import factories

OLD, NEW = Probe("base", Blob("a" * 64, 500), 60, 5), Probe("new", Blob("b" * 64, 30), 10, 1)


def manifests() -> tuple[Manifest, Manifest]:
    """A base with a part of the probe set, and an update that adds one."""
    base = replace(from_json(factories.base().manifest), probes=(OLD,))
    update = replace(from_json(factories.update("v0", "v1", 1).manifest), probes=(OLD, NEW))
    return base, replace(update, graph=base.graph)


def test_what_the_parent_has_is_not_fetched_again() -> None:
    base, update = manifests()
    assert to_fetch(base, None) == ToFetch(base.payload.length, base.graph.length, 500, None)
    assert to_fetch(update, base) == ToFetch(update.payload.length, 0, 30, None)
    assert to_fetch(update, update).probes == 0
    moved = replace(update, graph=Blob("c" * 64, 7))
    assert to_fetch(moved, base).graph == 7


def test_parts_of_equal_bytes_are_fetched_once() -> None:
    base, update = manifests()
    twice = replace(update, probes=(OLD, NEW, replace(NEW, domain="another")))
    assert to_fetch(twice, base).probes == 30


def test_the_total_is_of_all_that_is_known() -> None:
    assert ToFetch(1000, 10, 100, None).total == 1110
    assert ToFetch(1000, 10, 100, 5000).total == 6110


def test_a_probe_set_tells_by_what_a_version_gets_right() -> None:
    base, update = manifests()
    assert probe_set(update) == ProbeSet(70, 64)
    assert ProbeSet(70, 64).chance_to_pass == chance_to_pass(64, 0.1)
    assert probe_set(replace(base, probes=())) is None
