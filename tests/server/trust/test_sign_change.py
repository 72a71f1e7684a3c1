import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from diffclient.release import target_custom, target_names
from diffserver.errors import BadSignature, Conflict, Invalid, KeyMissing, MetadataMoved, SignatureNeeded
from diffserver.storage.database import now, reading, writing
from diffserver.storage.tables import Channel, Payload, RoleMetadata, Step, Version
from diffserver.trust import key_changes, keys, metadata_rows, releases
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of
from diffserver.trust.metadata.model_roles import ModelRoles
from diffserver.trust.metadata.role_changes import from_json_values
from diffserver.trust.renewal import renew
from diffserver.trust.sign_change import Proof
from diffserver.trust.signing_requests import submit
from tests.server import factories
from tests.server.conftest import Service, chain, record
from tests.server.trust.view import Device, in_force

CHANNEL = "/v1/models/speech/channel"
NEVER, PAST = datetime(2200, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)


def operators_key(service: Service, folder: Path) -> Keyring:
    """Give the model to a key that the server never sees."""
    key = keys.create(folder, "release")
    with writing(service.engine) as session:
        request = key_changes.add_model(
            metadata_rows.CurrentMetadata(session).get, "speech", Holders((key.public,)), now(session)
        )
        request.sign(service.keyring)
        submit(session, request, service.keyring, now(session))
    return Keyring(folder)


def signed(service: Service, challenge: dict[str, Any], keyring: Keyring) -> Proof:
    """What the operator's command does, on the service's own rows."""
    expires = datetime.fromisoformat(challenge["expires"])
    with reading(service.engine) as session:
        in_force = metadata_rows.CurrentMetadata(session)
        roles = ModelRoles("speech", in_force.get)
        change = from_json_values(challenge["change"])
        change.apply(roles)
        holders = holders_of(in_force.require("targets").signed, "speech")
        assert holders is not None
        changed = roles.changed_metadata(holders, expires, change.rewrite_all)
    for metadata in changed.values():
        for file in keyring.held(holders.keys):
            metadata.sign(file.signer(), append=True)
    return Proof(
        expires,
        {role: metadata.signed.version for role, metadata in changed.items()},
        {
            role: [signature.to_dict() for signature in metadata.signatures.values()]
            for role, metadata in changed.items()
        },
    )


def challenged(service: Service, candidate: int) -> dict[str, Any]:
    with pytest.raises(SignatureNeeded) as caught, writing(service.engine) as session:
        releases.publish(session, service.keyring, candidate)
    return caught.value.challenge


def publish(service: Service, candidate: int, proof: Proof | None = None) -> Version:
    with writing(service.engine) as session:
        return releases.publish(session, service.keyring, candidate, proof=proof)


def counts(service: Service) -> tuple[int, ...]:
    tables = (Version, Step, Payload, RoleMetadata)
    with reading(service.engine) as session:
        return tuple(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


def test_what_is_published_is_what_devices_verify(service: Service, tmp_path: Path) -> None:
    service.publish_chain(3)
    device = Device(service, tmp_path / "device")
    for number in range(4):
        target = device.find(name := target_names.snapshot_name("speech", number))
        assert target is not None
        facts = target_custom.read_facts(name, target.custom)
        assert (facts.version, facts.digest) == (number, factories.digest(f"v{number}"))
    target = device.find("speech/v0/3.from.2")
    assert target is not None
    assert service.public.get(f"/v1/blobs/{target.hashes['sha256']}").content == factories.update("v2", "v3", 3).payload
    assert device.find("speech/v0/4.from.3") is None
    service.publish(factories.update("v3", "v4", 4))
    assert device.find("speech/v0/4.from.3") is not None, "the same device sees the next"


def test_a_publish_that_fails_leaves_no_metadata(service: Service) -> None:
    service.publish_chain(1)
    candidate = record(service.engine, factories.update("v1", "v2", 2))
    before = counts(service)

    def interrupted() -> None:
        with writing(service.engine) as session:
            releases.publish(session, service.keyring, candidate.id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert counts(service) == before
    assert publish(service, candidate.id).number == 2


def test_without_the_online_key_nothing_is_published(service: Service) -> None:
    service.publish_chain(0)
    candidate = record(service.engine, factories.update("v0", "v1", 1))
    before = counts(service)
    for path in service.settings.keys.glob("online/online.*"):
        path.unlink()
    with pytest.raises(KeyMissing, match="no key of snapshot and timestamp"):
        publish(service, candidate.id)
    assert counts(service) == before
    answer = service.operator.post(f"/v1/candidates/{candidate.id}/publish", json={})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:diffserver:problem:key-missing")


def test_a_new_model_needs_the_targets_key_or_an_operator(service: Service) -> None:
    (service.settings.keys / "offline").rename(service.settings.home / "elsewhere")
    candidate = record(service.engine, factories.base())
    with pytest.raises(KeyMissing, match="run: diffserver keys add-model speech"):
        publish(service, candidate.id)


def test_the_operators_key_signs_and_the_server_never_needs_it(service: Service, tmp_path: Path) -> None:
    keyring = operators_key(service, tmp_path / "operator")
    for new in chain(3):
        candidate = record(service.engine, new).id
        publish(service, candidate, signed(service, challenged(service, candidate), keyring))
    assert [path.name for path in service.settings.keys.rglob("*.key.json") if "model" in path.name] == []
    assert Device(service, tmp_path / "device").find("speech/v0/3.from.2") is not None


def test_a_challenge_changes_nothing(service: Service, tmp_path: Path) -> None:
    operators_key(service, tmp_path / "operator")
    candidate = record(service.engine, factories.base()).id
    before = counts(service)
    challenge = challenged(service, candidate)
    assert counts(service) == before
    assert (challenge["model"], challenge["versions"], challenge["threshold"]) == ("speech", {"speech": 1}, 1)


def test_over_http_the_challenge_is_a_problem_and_its_proof_is_accepted(service: Service, tmp_path: Path) -> None:
    keyring = operators_key(service, tmp_path / "operator")
    candidate = record(service.engine, factories.base()).id
    path = f"/v1/candidates/{candidate}/publish"
    refused = service.operator.post(path, json={"force": False})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:diffserver:problem:signature-needed")
    proof = signed(service, refused.json()["challenge"], keyring)
    sent = {"expires": proof.expires.isoformat(), "versions": proof.versions, "signatures": proof.signatures}
    accepted = service.operator.post(path, json={"force": False, "proof": sent})
    assert (accepted.status_code, accepted.json()["number"]) == (201, 0)


@pytest.mark.parametrize("moved", ["metadata", "head"])
def test_a_proof_of_what_moved_meanwhile_is_refused(service: Service, tmp_path: Path, moved: str) -> None:
    keyring = operators_key(service, tmp_path / "operator")
    base = record(service.engine, factories.base()).id
    publish(service, base, signed(service, challenged(service, base), keyring))
    first, second = (record(service.engine, factories.update("v0", label, 1)).id for label in ("v1", "w1"))
    late = signed(service, challenged(service, first), keyring)
    if moved == "head":
        publish(service, second, signed(service, challenged(service, second), keyring))
    else:
        with pytest.raises(SignatureNeeded) as caught, writing(service.engine) as session:
            releases.renew(session, service.keyring, "speech")
        with writing(service.engine) as session:
            releases.renew(session, service.keyring, "speech", signed(service, caught.value.challenge, keyring))
    before = counts(service)
    with pytest.raises(MetadataMoved if moved == "metadata" else Conflict):
        publish(service, first, late)
    assert counts(service) == before


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        pytest.param(lambda good, other: replace(good, signatures={}), BadSignature, id="no signature"),
        pytest.param(
            lambda good, other: replace(good, expires=good.expires + timedelta(days=1)), BadSignature, id="later"
        ),
        pytest.param(lambda good, other: replace(good, signatures=other.signatures), BadSignature, id="another's key"),
        pytest.param(lambda good, other: replace(good, expires=NEVER), Invalid, id="for ever"),
        pytest.param(lambda good, other: replace(good, expires=PAST), Invalid, id="in the past"),
        pytest.param(lambda good, other: replace(good, versions={"speech": 2}), MetadataMoved, id="other metadata"),
        pytest.param(lambda good, other: replace(good, versions={}), MetadataMoved, id="of nothing"),
        pytest.param(
            lambda good, other: replace(good, signatures={"speech": [{"keyid": "ab"}]}), BadSignature, id="half of one"
        ),
    ],
)
def test_proofs_that_prove_nothing(
    service: Service, tmp_path: Path, spoil: Callable[[Proof, Proof], Proof], error: type[Exception]
) -> None:
    keyring = operators_key(service, tmp_path / "operator")
    foreign = Keyring(tmp_path / "foreign")
    own, forged = keyring.files().__next__(), keys.create(foreign.folder, "release")
    candidate = record(service.engine, factories.base()).id
    challenge = challenged(service, candidate)
    good = signed(service, challenge, keyring)
    sig = {role: [{"keyid": own.public.keyid, "sig": forged.signer().sign(b"x").signature}] for role in good.signatures}
    before = counts(service)
    with pytest.raises(error):
        publish(service, candidate, spoil(good, Proof(good.expires, good.versions, sig)))
    assert counts(service) == before
    publish(service, candidate, good)


def test_a_proof_for_one_candidate_publishes_no_other(service: Service, tmp_path: Path) -> None:
    keyring = operators_key(service, tmp_path / "operator")
    first, second = (record(service.engine, factories.base(label=label)).id for label in ("v0", "w0"))
    proof = signed(service, challenged(service, first), keyring)
    with pytest.raises(BadSignature, match="speech is not signed"):
        publish(service, second, proof)


def test_publishes_of_several_models_and_renewals_meet(service: Service, tmp_path: Path) -> None:
    models = [f"model-{number}" for number in range(3)]
    candidates = [
        [record(service.engine, new).id for new in (factories.base(model, f"{model} v0"),)] for model in models
    ]
    for model, ids in zip(models, candidates, strict=True):
        publish(service, ids[0])
        new = factories.update(f"{model} v0", f"{model} v1", 1, model)
        ids.append(record(service.engine, new).id)
    barrier = threading.Barrier(5)

    def at_once(act: Callable[[], object]) -> None:
        barrier.wait()
        act()

    def renewed() -> None:
        with writing(service.engine) as session:
            releases.renew(session, service.keyring, models[0])

    acts = [lambda ids=ids: publish(service, ids[1]) for ids in candidates]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(at_once, [*acts, renewed, lambda: renew(service.engine, service.keyring, "r")]))
    device = Device(service, tmp_path / "device")
    assert all(device.find(target_names.diff_name(model, 1, 0)) for model in models)
    meta = in_force(service, "snapshot")["meta"]
    assert {meta[f"{model}.json"]["version"] for model in models[1:]} == {2}
    with reading(service.engine) as session:
        versions = session.execute(select(RoleMetadata.version).where(RoleMetadata.role == "timestamp"))
        assert sorted(versions.scalars()) == list(range(1, in_force(service, "timestamp")["version"] + 1))


def test_of_two_publishes_of_one_model_one_wins(service: Service, tmp_path: Path) -> None:
    service.publish_chain(0)
    ids = [record(service.engine, factories.update("v0", f"v1-{n}", 1)).id for n in range(2)]
    barrier = threading.Barrier(2)

    def attempt(candidate: int) -> Version | Conflict:
        barrier.wait()
        try:
            return publish(service, candidate)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(attempt, ids))
    (won,) = [version for version in results if isinstance(version, Version)]
    target = Device(service, tmp_path / "device").find("speech/v0/1.snapshot")
    assert target is not None
    assert target_custom.read_facts("speech/v0/1.snapshot", target.custom).digest == won.digest
    assert in_force(service, "speech")["version"] == 2


def test_devices_go_back_where_it_is_signed(service: Service, tmp_path: Path) -> None:
    service.publish_chain(3)
    answer = service.operator.post(CHANNEL, json={"version": 1})
    assert (answer.status_code, answer.json()["number"]) == (200, 1)
    target = Device(service, tmp_path / "device").find("speech/v0/1.downgrade")
    assert target is not None
    permission = target_custom.read_downgrade("speech/v0/1.downgrade", target.custom)
    assert (permission.version, permission.below, permission.digest) == (1, 3, factories.digest("v1"))
    content = service.public.get(f"/v1/blobs/{target.hashes['sha256']}").content
    assert len(content) == target.length
    body = {"digest": factories.digest("v3"), "client": "test"}
    polled = service.device().post("/v1/device/poll", json=body).json()
    assert (polled["version"], polled["steps"]) == (1, ["speech/v0/1.snapshot"])
    service.publish(factories.update("v1", "v4", 4, start=1))
    assert Device(service, tmp_path / "other").find("speech/v0/1.downgrade") is None
    with reading(service.engine) as session:
        assert session.scalar(select(Channel.digest)) == factories.digest("v4")


def test_a_recall_is_undone_with_its_permission(service: Service, tmp_path: Path) -> None:
    service.publish_chain(3)
    for version in (1, 3):
        answer = service.operator.post(CHANNEL, json={"version": version})
        assert (answer.status_code, answer.json()["number"]) == (200, version)
    assert Device(service, tmp_path / "device").find("speech/v0/1.downgrade") is None
    model = service.operator.get("/v1/models/speech").json()
    assert (model["head"], model["newest"]) == (3, 3)


@pytest.mark.parametrize(("version", "status"), [(3, 409), (4, 404), (99, 404)])
def test_the_channel_moves_only_to_another_published_version(service: Service, version: int, status: int) -> None:
    service.publish_chain(3)
    before = counts(service)
    assert service.operator.post(CHANNEL, json={"version": version}).status_code == status
    assert counts(service) == before


def test_retired_diffs_are_gone_with_their_bytes_and_devices_take_a_snapshot(service: Service, tmp_path: Path) -> None:
    service.publish_chain(5)
    sent = factories.update("v0", "v1", 1).payload
    assert sent is not None
    old = next(step for step in poll(service, "v0"))
    assert old == "speech/v0/1.from.0"
    assert service.operator.post("/v1/models/speech/retire", json={"before": 4}).json() == {"dropped": 3}
    assert poll(service, "v0") == ["speech/v0/5.snapshot"]
    assert poll(service, "v3") == ["speech/v0/4.from.3", "speech/v0/5.from.4"]
    device = Device(service, tmp_path / "device")
    assert device.find("speech/v0/1.from.0") is None
    assert device.find("speech/v0/1.snapshot") is not None
    with reading(service.engine) as session:
        assert session.scalar(select(func.count()).select_from(Payload)) == 2
    assert service.operator.post("/v1/models/speech/retire", json={"before": 5}).status_code == 409


def poll(service: Service, label: str, **more: Any) -> list[str]:
    body = {"digest": factories.digest(label), "client": "test", **more}
    answer = service.device().post("/v1/device/poll", json=body).json()
    return list(answer["steps"])


def test_a_device_that_wants_no_snapshot_is_told_so(service: Service) -> None:
    service.publish_chain(5)
    service.operator.post("/v1/models/speech/retire", json={"before": 4})
    body = {"digest": factories.digest("v0"), "client": "test", "full_fallback": False}
    answer = service.device().post("/v1/device/poll", json=body).json()
    assert (answer["action"], answer["steps"], answer["notice"], answer["version"]) == ("none", [], "snapshot", 5)
    assert poll(service, "v3", full_fallback=False) == ["speech/v0/4.from.3", "speech/v0/5.from.4"]
    first = service.device().post("/v1/device/poll", json={**body, "digest": None}).json()
    assert (first["action"], first["notice"]) == ("none", "snapshot")


@pytest.mark.parametrize("name", ["root", "targets", "snapshot", "timestamp"])
def test_no_model_is_called_like_a_role_at_the_top(service: Service, name: str) -> None:
    body = {"kind": "base", "model": name, "data": "/data"}
    answer = service.operator.post("/v1/trainings", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:diffserver:problem:invalid")


def test_metadata_over_http(service: Service) -> None:
    service.publish_chain(0)
    fixed = service.public.get("/v1/tuf/1.root.json")
    assert (fixed.status_code, fixed.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert fixed.content == (service.settings.home / "root.json").read_bytes()
    assert service.public.get("/v1/tuf/timestamp.json").headers["cache-control"] == "no-cache"
    for name in ("2.root.json", "root.json", "9.speech.json", "1.other.json", "x", "1.root.json%00", "..%2Froot.json"):
        missing = service.public.get(f"/v1/tuf/{name}")
        assert (missing.status_code, missing.headers.get("cache-control")) == (404, "no-store"), name
        assert len(missing.content) <= 400 if "%2F" in name else len(missing.content) <= 100
