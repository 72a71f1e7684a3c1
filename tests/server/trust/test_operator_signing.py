"""The operator's command at a real server, which may lie."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diffclient.errors import MetadataRolledBack
from diffserver.cli.remote import Remote
from diffserver.errors import Conflict, DiffServerError, KeyMissing
from diffserver.storage.database import now, writing
from diffserver.trust import key_changes, keys, metadata_rows, operator_signing
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders
from diffserver.trust.signing_requests import submit
from tests.server import factories
from tests.server.conftest import Service, Type, chain, record
from tests.server.trust.view import Device, in_force


@pytest.fixture
def keyring(service: Service, tmp_path: Path) -> Keyring:
    """The operator's keys, to which the model belongs, with the root."""
    folder = tmp_path / "operator"
    key = keys.create(folder, "release")
    with writing(service.engine) as session:
        request = key_changes.add_model(
            metadata_rows.CurrentMetadata(session).get, "speech", Holders((key.public,)), now(session)
        )
        request.sign(service.keyring)
        submit(session, request, service.keyring, now(session))
    operator_signing.trust(Keyring(folder), service.settings.home / "root.json")
    return Keyring(folder)


def test_versions_are_published_changed_and_renewed_with_the_operators_key(
    service: Service, typed: Type, keyring: Keyring, tmp_path: Path
) -> None:
    for new in chain(4):
        candidate = record(service.engine, new).id
        assert typed("publish", candidate, "--keys", keyring.folder)["digest"] == new.digest
    device = Device(service, tmp_path / "device")
    assert device.find("speech/v0/4.from.3") is not None
    assert typed("recall", "speech", "--keys", keyring.folder)["number"] == 3
    assert device.find("speech/v0/3.downgrade") is not None
    assert typed("recall", "speech", "--undo", "--keys", keyring.folder)["number"] == 4
    assert device.find("speech/v0/3.downgrade") is None
    assert typed("retire", "speech", "--before", 2, "--keys", keyring.folder) == {"dropped": 1}
    assert device.find("speech/v0/1.from.0") is None
    before = in_force(service, "speech+archive-0")["version"]
    typed("renew", "speech", "--keys", keyring.folder)
    assert in_force(service, "speech+archive-0")["version"] == before + 1
    assert device.find("speech/v0/2.from.1") is not None


def test_without_the_key_or_the_root_nothing_is_signed(
    service: Service, typed: Type, keyring: Keyring, tmp_path: Path
) -> None:
    candidate = record(service.engine, factories.base()).id
    with pytest.raises(KeyMissing, match=r"no root of trust in .*; run: diffserver keys trust root\.json"):
        typed("publish", candidate, "--keys", tmp_path / "empty")
    operator_signing.trust(Keyring(tmp_path / "empty"), service.settings.home / "root.json")
    with pytest.raises(KeyMissing, match="0 of the 1 keys that sign for speech"):
        typed("publish", candidate, "--keys", tmp_path / "empty")
    assert service.public.get("/v1/tuf/1.speech.json").status_code == 404


def challenge_of(service: Service, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = service.operator.post(path, json=body)
    assert answer.json()["type"] == "urn:diffserver:problem:signature-needed", answer.text
    return dict(answer.json()["challenge"])


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        pytest.param(lambda c: c.update(model="other"), "another model", id="another model"),
        pytest.param(lambda c: c["change"].update(manifests=[]), "without manifests", id="nothing"),
        pytest.param(
            lambda c: c["change"]["manifests"][0].update(to_digest=factories.digest("forged")),
            "another digest",
            id="other weights",
        ),
        pytest.param(
            lambda c: [manifest.update(to_digest=factories.digest("forged")) for manifest in c["change"]["manifests"]],
            "another digest",
            id="other weights throughout",
        ),
        pytest.param(
            lambda c: [manifest.update(to_version=7) for manifest in c["change"]["manifests"]],
            "does not follow",
            id="a later one",
        ),
        pytest.param(
            lambda c: c["change"]["manifests"][0].update(from_digest=factories.digest("forged")),
            "does not start from",
            id="a forged start",
        ),
        pytest.param(lambda c: c.update(change={"kind": "retire", "before": 0}), "another kind", id="another change"),
        pytest.param(lambda c: c.update(expires="2200-01-01T00:00:00+00:00"), "until 2200", id="for ever"),
        pytest.param(lambda c: c.update(expires="soon"), "is none", id="no time"),
        pytest.param(lambda c: c.update(change=5), "is none", id="no change"),
    ],
)
def test_a_server_that_asks_for_something_else_gets_no_signature(
    service: Service, url: str, typed: Type, keyring: Keyring, lie: Callable[[dict[str, Any]], None], reason: str
) -> None:
    typed("publish", record(service.engine, factories.base()).id, "--keys", keyring.folder)
    candidate = record(service.engine, new := factories.update("v0", "v1", 1)).id
    challenge = challenge_of(service, f"/v1/candidates/{candidate}/publish", {})
    lie(challenge)
    asked = {"kind": "publish", "model": "speech", "digest": new.digest}
    with pytest.raises(DiffServerError, match=reason):
        operator_signing.answer(challenge, asked, keyring, url)


def test_a_server_that_leads_back_to_older_metadata_gets_no_signature(
    service: Service, url: str, typed: Type, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    for new in chain(1):
        typed("publish", record(service.engine, new).id, "--keys", keyring.folder)
    old = service.public.get("/v1/tuf/timestamp.json").content
    candidate = record(service.engine, new := factories.update("v1", "v2", 2)).id
    typed("publish", candidate, "--keys", keyring.folder)
    third = record(service.engine, factories.update("v2", "v3", 3)).id
    challenge = challenge_of(service, f"/v1/candidates/{third}/publish", {})
    operator_signing.OperatorView(keyring, url, "speech")
    genuine = metadata_rows.read
    monkeypatch.setattr(metadata_rows, "read", lambda s, role, v: old if role == "timestamp" else genuine(s, role, v))
    service.app.state.memory.forget()
    with pytest.raises(MetadataRolledBack):
        operator_signing.answer(challenge, {"model": "speech"}, keyring, url)
    assert new.number == 2


def test_what_moved_between_challenge_and_proof_is_refused(
    service: Service, url: str, typed: Type, keyring: Keyring
) -> None:
    typed("publish", record(service.engine, factories.base()).id, "--keys", keyring.folder)
    first, second = (record(service.engine, factories.update("v0", label, 1)) for label in ("v1", "w1"))
    path = f"/v1/candidates/{first.id}/publish"
    challenge = challenge_of(service, path, {})
    signed = operator_signing.answer(challenge, {"digest": first.digest}, keyring, url)
    typed("publish", second.id, "--keys", keyring.folder)
    answer = service.operator.post(path, json={"proof": signed.proof})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:diffserver:problem:head-moved")


def test_errors_other_than_the_challenge_are_shown_as_they_are(service: Service, url: str, typed: Type) -> None:
    with pytest.raises(DiffServerError, match="no candidate 99"):
        typed("publish", 99)
    token = service.operator.headers["Authorization"].removeprefix("Bearer ")
    with Remote(url, token) as remote, pytest.raises(DiffServerError) as caught:
        remote.post("/v1/models/nothing/renew", {})
    assert not isinstance(caught.value, Conflict)
