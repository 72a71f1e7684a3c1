from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from diffclient.errors import ManifestError
from diffclient.release.manifest import Blob, Manifest, Probe, from_json
from diffclient.release.metric import Metric

DIGEST = "ab" * 32
PROBE = Probe("0-base", Blob("cd" * 32, 900), total=60, errors=4)
DIFF = Manifest(
    "asr",
    "sparse",
    DIGEST,
    0,
    "ef" * 32,
    1,
    Blob("01" * 32, 50),
    Blob("23" * 32, 70),
    (PROBE,),
    Metric("WER", "words"),
    66_667,
    3,
    30_000,
)
SNAPSHOT = Manifest("asr", "snapshot", None, None, DIGEST, 0, DIFF.payload, DIFF.graph, (), DIFF.metric, 0, 0, 0)


@pytest.mark.parametrize("manifest", [DIFF, replace(DIFF, kind="exact"), SNAPSHOT])
def test_manifests_come_back_from_json(manifest: Manifest) -> None:
    assert from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


HOSTILE: dict[str, tuple[list[str], Any]] = {
    "kind of tomorrow": (["kind"], "quantum"),
    "kind unhashable": (["kind"], ["sparse"]),
    "diff without a parent": (["from_digest"], None),
    "snapshot with a parent": (["kind"], "snapshot"),
    "digest too short": (["to_digest"], "abc"),
    "digest in capitals": (["to_digest"], "AB" * 32),
    "digest with a path": (["to_digest"], "../" + "a" * 61),
    "negative version": (["to_version"], -1),
    "version a float": (["to_version"], 1.0),
    "version a boolean": (["to_version"], True),
    "length beyond 2^53": (["payload", "length"], 2**53),
    "payload a string": (["payload"], "bytes"),
    "payload with extras": (["payload", "url"], "http://elsewhere"),
    "probes an object": (["probes"], {}),
    "probe a number": (["probes"], [3]),
    "name empty": (["model"], ""),
    "name that steers a terminal": (["model"], "\x1b]0;owned\x07"),
    "name endless": (["model"], "x" * 10_000),
    "metric a text": (["metric"], "WER"),
    "metric of more": (["metric", "unit"], "%"),
    "metric without a name": (["metric", "name"], ""),
    "metric's name endless": (["metric", "name"], "x" * 41),
    "metric's name a number": (["metric", "name"], 3),
    "metric counts in a garbled terminal": (["metric", "counts"], "words\x1b[2J"),
    "metric counts in two lines": (["metric", "counts"], "words\nversion 9"),
    "unknown field": (["extra"], 1),
}


@pytest.mark.parametrize(("path", "value"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_manifests_are_refused(path: list[str], value: object) -> None:
    document = json.loads(json.dumps(DIFF.to_json()))
    target = document
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    with pytest.raises(ManifestError):
        from_json(document)


@pytest.mark.parametrize("document", [None, [], "manifest", 3, {}])
def test_what_is_no_object_is_no_manifest(document: object) -> None:
    with pytest.raises(ManifestError):
        from_json(document)


@pytest.mark.parametrize("field", DIFF.to_json())
def test_no_field_may_be_missing(field: str) -> None:
    document = DIFF.to_json()
    del document[field]
    with pytest.raises(ManifestError, match=field):
        from_json(document)
