from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from diffclient.errors import ManifestError
from diffclient.release import target_custom
from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.release.metric import Metric
from diffclient.release.target_custom import Downgrade

GRAPH, FIRST, SECOND = (Blob(letter * 64, 70) for letter in "abc")
WER = Metric("WER", "words")
PROBES = (Probe("0-base", FIRST, 60, 4), Probe("1-places", SECOND, 30, 0))
DIFF = Manifest("asr", "sparse", "1" * 64, 63, "2" * 64, 64, Blob("d" * 64, 50), GRAPH, PROBES, WER, 44_444, 3, 30_000)
SNAPSHOT = replace(DIFF, kind="snapshot", from_digest=None, from_version=None, payload=Blob("e" * 64, 5000))
FACTS_NAME, STEP_NAME = "asr/v1/64.snapshot", "asr/v1/64.from.63"


def travelled(custom: Mapping[str, Any]) -> Any:
    """As signed metadata brings it."""
    return json.loads(json.dumps(custom))


@pytest.mark.parametrize("manifest", [DIFF, SNAPSHOT, replace(SNAPSHOT, probes=()), replace(DIFF, kind="exact")])
def test_a_manifest_comes_back_from_its_targets(manifest: Manifest) -> None:
    name = target_custom.name_of(manifest)
    facts = target_custom.read_facts(FACTS_NAME, travelled(target_custom.facts(manifest)))
    step = (
        None if manifest.kind == "snapshot" else target_custom.read_step(name, travelled(target_custom.step(manifest)))
    )
    assert target_custom.join(name, manifest.payload, step, facts, target_custom.objects_of(manifest)) == manifest


def test_the_names_are_those_of_the_payloads() -> None:
    assert (target_custom.name_of(SNAPSHOT), target_custom.name_of(DIFF)) == (FACTS_NAME, STEP_NAME)
    facts = target_custom.read_facts(FACTS_NAME, target_custom.facts(DIFF))
    assert set(facts.objects) == set(target_custom.objects_of(DIFF))
    assert len(facts.objects) == 3


def test_nothing_that_is_signed_is_a_float() -> None:
    def leaves(value: Any) -> list[Any]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return [value] if inside is None else [leaf for item in inside for leaf in leaves(item)]

    customs = (
        target_custom.facts(DIFF),
        target_custom.step(DIFF),
        target_custom.downgrade(Downgrade("2" * 64, 64, 70)),
    )
    assert {type(leaf) for custom in customs for leaf in leaves(custom)} == {int, str}


def test_a_permission_comes_back() -> None:
    permission = Downgrade("2" * 64, 64, 70)
    assert (
        target_custom.read_downgrade("asr/v1/64.downgrade", travelled(target_custom.downgrade(permission)))
        == permission
    )


def test_a_snapshot_is_no_step() -> None:
    with pytest.raises(ManifestError):
        target_custom.step(SNAPSHOT)


OTHER_PROBE = ["x", "asr/probe/" + "b" * 16, 1, 1]
FACTS: dict[str, tuple[list[Any], Any]] = {
    "digest in capitals": (["digest"], "AB" * 32),
    "version that the name does not say": (["version"], 63),
    "version a float": (["version"], 64.0),
    "version a boolean": (["version"], True),
    "graph of another model": (["graph"], "tts/graph/" + "a" * 16),
    "graph that is a probe": (["graph"], "asr/probe/" + "a" * 16),
    "graph with a path": (["graph"], "asr/graph/../" + "a" * 13),
    "graph a number": (["graph"], 3),
    "probes an object": (["probes"], {}),
    "probes without end": (["probes"], [OTHER_PROBE] * 1001),
    "probe a text": (["probes", 0], "asr"),
    "probe too short": (["probes", 0], OTHER_PROBE[:3]),
    "probe of another model": (["probes", 0, 1], "tts/probe/" + "b" * 16),
    "probe a list": (["probes", 0, 1], [[]]),
    "domain empty": (["probes", 0, 0], ""),
    "domain that steers a terminal": (["probes", 0, 0], "\x1b]0;owned\x07"),
    "domain endless": (["probes", 0, 0], "x" * 201),
    "total negative": (["probes", 0, 2], -1),
    "errors a text": (["probes", 0, 3], "4"),
    "error rate beyond 2^53": (["error_rate_ppm"], 2**53),
    "metric a text": (["metric"], "WER"),
    "metric of one part": (["metric"], ["WER"]),
    "metric's name a number": (["metric", 0], 3),
    "metric counts in a garbled terminal": (["metric", 1], "words\x1b[2J"),
    "bound null": (["max_drift_ppm"], None),
    "unknown field": (["extra"], 1),
}
STEPS: dict[str, tuple[list[Any], Any]] = {
    "kind of tomorrow": (["kind"], "quantum"),
    "kind unhashable": (["kind"], ["sparse"]),
    "kind snapshot": (["kind"], "snapshot"),
    "from nothing": (["from"], None),
    "to with a path": (["to"], "../" + "a" * 61),
    "from another version": (["from_version"], 62),
    "to another version": (["to_version"], 65),
    "unknown field": (["extra"], 1),
}


def changed(custom: Mapping[str, Any], path: list[Any], value: object) -> Any:
    document = copy.deepcopy(travelled(custom))
    inner = document[target_custom.FIELD]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(("path", "value"), FACTS.values(), ids=FACTS.keys())
def test_hostile_facts_are_refused(path: list[Any], value: object) -> None:
    with pytest.raises(ManifestError):
        target_custom.read_facts(FACTS_NAME, changed(target_custom.facts(DIFF), path, value))


@pytest.mark.parametrize(("path", "value"), STEPS.values(), ids=STEPS.keys())
def test_hostile_steps_are_refused(path: list[Any], value: object) -> None:
    with pytest.raises(ManifestError):
        target_custom.read_step(STEP_NAME, changed(target_custom.step(DIFF), path, value))


@pytest.mark.parametrize("custom", [None, [], "facts", 3, {}, {"diffserver": None}, {"diffserver": []}, {"other": {}}])
def test_custom_metadata_of_others_is_refused(custom: object) -> None:
    for read, name in ((target_custom.read_facts, FACTS_NAME), (target_custom.read_step, STEP_NAME)):
        with pytest.raises(ManifestError):
            read(name, custom)
    with pytest.raises(ManifestError):
        target_custom.read_downgrade("asr/v1/64.downgrade", custom)


@pytest.mark.parametrize("field", target_custom.facts(DIFF)[target_custom.FIELD])
def test_no_fact_may_be_missing(field: str) -> None:
    custom = travelled(target_custom.facts(DIFF))
    del custom[target_custom.FIELD][field]
    with pytest.raises(ManifestError, match=field):
        target_custom.read_facts(FACTS_NAME, custom)


def test_a_step_and_facts_of_another_version_do_not_join() -> None:
    facts = target_custom.read_facts(FACTS_NAME, target_custom.facts(DIFF))
    step = target_custom.read_step(STEP_NAME, target_custom.step(DIFF))
    for other in (replace(facts, digest="9" * 64), replace(facts, version=65)):
        with pytest.raises(ManifestError, match="leads elsewhere"):
            target_custom.join(STEP_NAME, DIFF.payload, step, other, target_custom.objects_of(DIFF))


def test_objects_must_be_what_their_names_say() -> None:
    facts = target_custom.read_facts(FACTS_NAME, target_custom.facts(DIFF))
    step = target_custom.read_step(STEP_NAME, target_custom.step(DIFF))
    swapped = dict.fromkeys(facts.objects, GRAPH)
    with pytest.raises(ManifestError, match="asr/probe/"):
        target_custom.join(STEP_NAME, DIFF.payload, step, facts, swapped)
