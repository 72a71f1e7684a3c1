from dataclasses import replace
from typing import Any

import pytest

from diffclient.release.manifest import Blob
from diffclient.release.metric import Metric
from diffserver.errors import Invalid
from tests.server import factories


def test_names_its_payload() -> None:
    new = factories.update("v0", "v1", 1)
    assert new.payload is not None
    assert new.payload_blob == Blob(new.manifest["payload"]["sha256"], len(new.payload))
    assert factories.base().payload_blob is None


def test_a_fully_retrained_model_needs_no_manifest() -> None:
    assert factories.full("v0", "full", 1).manifest == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"manifest": {}}, "is not one"),
        ({"manifest": {"model": "speech"}}, "is not one"),
        ({"model": "other"}, "other versions"),
        ({"number": 2}, "other versions"),
        ({"digest": factories.digest("v2")}, "other versions"),
        ({"parent_digest": factories.digest("v7")}, "other versions"),
        ({"payload": b"other bytes"}, "other bytes"),
        ({"payload": None}, "other versions"),
        ({"graph": factories.blob("another graph")}, "other bytes"),
        ({"metric": Metric("WER", "letters")}, "another metric"),
        ({"parent_digest": None}, "no parent"),
        ({"number": 0}, "number 0"),
        ({"kind": "base"}, "number 0"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(changes: dict[str, Any], reason: str) -> None:
    new = factories.update("v0", "v1", 1)
    with pytest.raises(Invalid, match=reason):
        replace(new, **changes)


def test_a_base_whose_manifest_names_another_snapshot_is_refused() -> None:
    with pytest.raises(Invalid, match="other bytes"):
        factories.base(snapshot=factories.blob("v9"))
