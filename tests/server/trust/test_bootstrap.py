import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, func, select

from diffclient.release import target_names
from diffserver.app import create_app
from diffserver.settings import Settings
from diffserver.storage.database import reading
from diffserver.storage.tables import RoleMetadata
from diffserver.trust.bootstrap import establish
from tests.server import factories
from tests.server.conftest import Service, publish_chain, release
from tests.server.trust.view import Device, in_force


def test_the_first_keys_and_the_root_come_about_without_a_question(engine: Engine, settings: Settings) -> None:
    anchor = establish(engine, settings)
    assert sorted(str(path.relative_to(settings.keys)) for path in settings.keys.rglob("*.key.json")) == [
        "offline/root.key.json",
        "offline/targets.key.json",
        "online/online.key.json",
    ]
    root = json.loads(anchor.path.read_bytes())["signed"]
    assert (anchor.path, anchor.version) == (settings.home / "root.json", 1)
    assert anchor.first_sha256 == sha256(anchor.path.read_bytes()).hexdigest()
    ids = {role: tuple(fields["keyids"]) for role, fields in root["roles"].items()}
    assert ids["snapshot"] == ids["timestamp"]
    assert len({ids["root"], ids["targets"], ids["timestamp"]}) == 3
    assert root["consistent_snapshot"] is True


def test_setting_up_again_changes_nothing_and_brings_the_root_back(engine: Engine, settings: Settings) -> None:
    anchor = establish(engine, settings)
    content = anchor.path.read_bytes()
    anchor.path.unlink()
    assert establish(engine, settings) == anchor
    assert anchor.path.read_bytes() == content


def test_replicas_that_start_together_agree_on_one_root(engine: Engine, settings: Settings) -> None:
    with ThreadPoolExecutor(3) as pool:
        anchors = set(pool.map(lambda _: establish(engine, settings), range(3)))
    assert len(anchors) == 1
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(RoleMetadata)) == 4


def test_versions_from_before_are_signed(engine: Engine, settings: Settings, service: Service, tmp_path: Path) -> None:
    home = Settings.under(tmp_path / "old")
    old = Settings(home.home, settings.database, settings.objects)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(RoleMetadata)) == 4
    publish_chain(engine, 3)
    release(engine, factories.base("other", "o0"))
    from sqlalchemy import delete

    from diffserver.storage.database import writing

    with writing(engine) as session:
        session.execute(delete(RoleMetadata))
    establish(engine, old)
    adopted = Service(create_app(old), old, engine, service.objects, service.lines, service.public, service.operator)
    device = Device(adopted, tmp_path / "device", (old.home / "root.json").read_bytes())
    for number in range(4):
        assert device.find(target_names.snapshot_name("speech", number)) is not None
    assert device.find("other/v0/0.snapshot") is not None
    assert in_force(adopted, "speech")["version"] == 4
    adopted.publish(factories.update("v3", "v4", 4))
