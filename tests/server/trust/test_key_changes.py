"""Key ceremonies as they are typed, on the service's own database; devices follow each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from diffserver.errors import (
    BadSignature,
    Conflict,
    DiffServerError,
    Invalid,
    KeyMissing,
    MetadataMoved,
    NotFound,
    SignatureNeeded,
)
from diffserver.main import app
from diffserver.trust.keys import PASSPHRASE
from tests.server import factories
from tests.server.conftest import Service
from tests.server.trust.view import Device, in_force

Type = Callable[..., Any]


@pytest.fixture
def typed(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Run `diffserver keys … --json` and return what it prints."""
    monkeypatch.setenv("DIFFSERVER_HOME", str(service.settings.home))
    monkeypatch.setenv("DIFFSERVER_DATABASE", database_url)
    monkeypatch.delenv("DIFFSERVER_KEYS", raising=False)
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.chdir(service.settings.home)

    def run(*arguments: object) -> Any:
        capsys.readouterr()
        app(["keys", *map(str, arguments), "--json"], standalone_mode=False)
        service.app.state.memory.outdate()  # what another process changes is heard of within a second
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def offline(service: Service, tmp_path: Path) -> Path:
    return taken_away(service, tmp_path)


def taken_away(service: Service, tmp_path: Path) -> Path:
    """The folder of the keys of root and targets, away from the server."""
    return Path(shutil.move(service.settings.keys / "offline", tmp_path / "stick"))


def root(service: Service, version: int) -> dict[str, Any]:
    return dict(service.public.get(f"/v1/tuf/{version}.root.json").json()["signed"])


def holders(service: Service, role: str) -> list[str]:
    return list(root(service, 2)["roles"][role]["keyids"])


@pytest.mark.parametrize("role", ["root", "targets", "online"])
def test_a_role_at_the_top_is_rotated_in_one_command(service: Service, typed: Type, tmp_path: Path, role: str) -> None:
    service.publish_chain(2)
    device = Device(service, tmp_path / "device")
    device.updater()
    before, named = root(service, 1), "timestamp" if role == "online" else role
    answer = typed("rotate", role)
    assert (answer["root_version"], "root" in answer["roles"]) == (2, True)
    assert set(holders(service, named)).isdisjoint(before["roles"][named]["keyids"])
    assert device.find("speech/v0/2.from.1") is not None, "a device that trusted the old keys follows"
    service.publish(factories.update("v2", "v3", 3))
    assert Device(service, tmp_path / "new").find("speech/v0/3.from.2") is not None


def test_a_root_for_two_of_three_people_is_signed_by_files(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(1)
    offline = taken_away(service, tmp_path)
    device = Device(service, tmp_path / "device")
    device.updater()
    people = [tmp_path / name for name in ("anna", "berta", "carla")]
    public = [typed("create", person.name, "--keys", person)["file"] for person in people]
    request = tmp_path / "request.json"
    given = [part for file in public for part in ("--public", file)]
    asked = typed("rotate", "root", *given, "--threshold", 2, "--out", request)
    assert set(asked["lacking"]) == {"root"}
    assert typed("sign", request, "--keys", offline, "--yes")["lacking"]["root"]
    assert typed("sign", request, "--keys", people[2], "--yes")["lacking"]["root"]
    with pytest.raises(BadSignature, match="root was signed by 1/2 keys"):
        typed("submit", request)
    assert typed("sign", request, "--keys", people[0], "--yes")["lacking"] == {}
    assert typed("submit", request)["root_version"] == 2
    assert root(service, 2)["roles"]["root"]["threshold"] == 2
    assert device.find("speech/v0/1.from.0") is not None
    typed("renew", "--out", request)
    typed("sign", request, "--keys", offline, "--yes")
    with pytest.raises(BadSignature, match="root was signed by 0/2 keys"):
        typed("submit", request)


def test_a_models_keys_are_replaced_with_all_that_they_signed(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(70)
    device = Device(service, tmp_path / "device")
    assert device.find("speech/v0/5.from.4") is not None
    before = in_force(service, "speech+archive-0")
    assert sorted(typed("rotate", "speech")["roles"]) == [
        "speech",
        "speech+archive",
        "speech+archive-0",
        "speech+archive-1",
        "targets",
    ]
    after = in_force(service, "speech+archive-0")
    assert (after["version"], after["targets"]) == (before["version"] + 1, before["targets"])
    assert device.find("speech/v0/5.from.4") is not None
    assert device.find("speech/v1/70.from.69") is not None
    for path in service.settings.keys.glob("online/model-speech.*"):
        path.unlink()
    service.publish(factories.update("v70", "v71", 71))


def test_a_model_passes_from_the_server_to_an_operator(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(3)
    device = Device(service, tmp_path / "device")
    device.updater()
    key = typed("create", "release", "--keys", tmp_path / "operator")
    asked = typed("rotate", "speech", "--public", key["file"])
    assert set(asked["lacking"]) == {"speech", "speech+archive", "speech+archive-0"}
    typed("sign", asked["request"], "--keys", tmp_path / "operator")
    typed("submit", asked["request"])
    assert device.find("speech/v0/1.from.0") is not None
    with pytest.raises(SignatureNeeded):
        service.publish(factories.update("v3", "v4", 4))


def test_a_key_behind_a_uri_of_securesystemslib_signs_online(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(0)
    signer = CryptoSigner.generate_ecdsa()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(signer.private_bytes)
    public.write_text(signer.public_key.keyval["public"])
    online = service.settings.keys / "online"
    key = typed("import", "kms", "--uri", f"file2:{private}", "--public", public, "--keys", online)
    assert key["keyid"] == signer.public_key.keyid
    assert "PRIVATE" not in Path(key["file"]).read_text()
    typed("rotate", "online", "--public", key["file"])
    service.publish(factories.update("v0", "v1", 1))
    assert root(service, 2)["roles"]["timestamp"]["keyids"] == [key["keyid"]]
    assert Device(service, tmp_path / "device").find("speech/v0/1.from.0") is not None
    private.unlink()
    with pytest.raises(KeyMissing, match="key kms can't be opened"):
        service.publish(factories.update("v1", "v2", 2))


def test_a_model_whose_keys_would_not_vouch_for_it_is_refused(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(3)
    request = tmp_path / "request.json"
    typed("rotate", "speech", "--out", request)
    value = json.loads(request.read_text())
    del value["metadata"]["speech+archive-0"]
    request.write_text(json.dumps(value))
    with pytest.raises(BadSignature, match=r"speech\+archive-0 would not be signed by the new keys"):
        typed("submit", request)


def test_a_request_that_something_overtook_is_refused(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(0)
    first, second = tmp_path / "one.json", tmp_path / "other.json"
    typed("rotate", "speech", "--out", first)
    typed("rotate", "speech", "--out", second)
    typed("submit", first)
    with pytest.raises(MetadataMoved, match="targets has been replaced"):
        typed("submit", second)


def test_adding_a_model_without_the_targets_key_asks_for_it(service: Service, typed: Type, offline: Path) -> None:
    asked = typed("add-model", "speech")
    assert list(asked["lacking"]) == ["targets"]
    typed("sign", asked["request"], "--keys", offline)
    typed("submit", asked["request"])
    service.publish_chain(0)
    with pytest.raises(Conflict, match="has a role already"):
        typed("add-model", "speech")


def tampered(value: dict[str, Any], what: str) -> None:
    before = value["before"]["root"]["signed"]
    if what == "another root":
        before["expires"] = "2099-01-01T00:00:00Z"
    elif what == "an older root":
        before["version"] = 0
    elif what == "targets of another":
        value["before"]["targets"]["signed"]["version"] += 1
    else:
        del value["before"]["targets"]


@pytest.mark.parametrize("what", ["another root", "an older root", "targets of another", "no targets"])
def test_a_machine_that_signs_checks_what_it_is_given(
    service: Service, typed: Type, offline: Path, tmp_path: Path, what: str
) -> None:
    typed("trust", service.settings.home / "root.json", "--keys", offline)
    request = tmp_path / "request.json"
    typed("renew", "--out", request)
    value = json.loads(request.read_text())
    tampered(value, what)
    request.write_text(json.dumps(value))
    with pytest.raises((BadSignature, Invalid)):
        typed("sign", request, "--keys", offline)
    assert json.loads(request.read_text())["metadata"]["root"]["signatures"] == []


def test_keys_that_no_one_asks_for_sign_nothing(service: Service, typed: Type, tmp_path: Path) -> None:
    typed("create", "stranger", "--keys", tmp_path / "stranger")
    typed("renew", "--out", tmp_path / "request.json")
    shutil.rmtree(service.settings.keys / "offline")
    typed("renew", "--out", tmp_path / "request.json")
    with pytest.raises(Invalid, match="none of the keys"):
        typed("sign", tmp_path / "request.json", "--keys", tmp_path / "stranger")


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (["rotate", "nothing"], NotFound, "model nothing has no role"),
        (["rotate", "root", "--public", "missing.pem"], KeyMissing, "holds no public key"),
        (["add-model", "targets"], Invalid, "cannot be a model's name"),
        (["add-model", "x", "--public", "keys/online/online.key.json", "--threshold", 2], Invalid, "2 of 1 keys"),
        (["submit", "missing.json"], Invalid, "is no request for signatures"),
        (["sign", "root.json"], Invalid, "is no request for signatures"),
        (["create", "../x"], Invalid, "can't be a key's name"),
    ],
)
def test_what_makes_no_sense(
    service: Service, typed: Type, arguments: list[Any], error: type[DiffServerError], reason: str
) -> None:
    with pytest.raises(DiffServerError, match=reason):
        typed(*arguments)


def test_show_says_what_is_here_and_when_it_expires(service: Service, typed: Type) -> None:
    service.publish_chain(3)
    shown = typed("show")
    assert {item["role"]: item["here"] for item in shown["roles"]} == {
        "root": ["root"],
        "targets": ["targets"],
        "snapshot": ["online"],
        "timestamp": ["online"],
        "speech": ["model-speech"],
    }
    assert not any(item["soon"] for item in shown["roles"])
    assert Path(shown["root_file"]).is_file()


def test_an_old_root_key_alone_makes_no_new_root(service: Service, typed: Type, tmp_path: Path) -> None:
    service.publish_chain(0)
    stolen = Path(shutil.copytree(service.settings.keys / "offline", tmp_path / "stolen"))
    typed("rotate", "root")
    device = Device(service, tmp_path / "device")
    device.updater()
    typed("renew", "--out", tmp_path / "request.json")
    value = json.loads((tmp_path / "request.json").read_text())
    for metadata in value["metadata"].values():
        metadata["signatures"] = []
    (tmp_path / "request.json").write_text(json.dumps(value))
    typed("sign", tmp_path / "request.json", "--keys", stolen)
    with pytest.raises(BadSignature, match="root was signed by 0/1 keys"):
        typed("submit", tmp_path / "request.json")
    assert service.public.get("/v1/tuf/3.root.json").status_code == 404
