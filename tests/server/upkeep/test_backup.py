"""Backups and what is restored of them, between databases of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, select, text, update

from diffserver.choices.channels import STABLE
from diffserver.errors import BlobCorrupt, Conflict, DatabaseTooNew, DiffServerError, Invalid, NotFound
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.column_types import utc_now
from diffserver.storage.copy_rows import count_rows
from diffserver.storage.database import writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import METADATA, Candidate, Rollout, Token, Training
from diffserver.upkeep.backup import opened, take
from diffserver.upkeep.restore import Backup, check, find, put_files, put_in_place, put_objects, require_empty, staged
from tests.client.lineage import CLASSIFIER, Lineage
from tests.server import factories
from tests.server.conftest import Databases, Service, closing_engine, record
from tests.server.stored import cut, spoil


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(3)


@pytest.fixture
def published(service: Service, lineage: Lineage) -> Service:
    """Versions 0 to 2 are published, the third is a candidate, and most tables have rows."""
    for number in range(3):
        service.publish(factories.of_lineage(lineage, number, service.objects))
    record(service.engine, factories.of_lineage(lineage, 3, service.objects))
    with writing(service.engine) as session:
        session.add(Training(model=lineage.model, spec={"method": "sparse", "data": "…"}, lease_until=utc_now()))
        digests = {"from_digest": lineage.digest(1), "to_digest": lineage.digest(2)}
        about = {"model": lineage.model, "channel": STABLE, "state": "done", "created_by": "anna"}
        session.add(Rollout(**about, **digests, stages=["1%", "100%"], terms={"margin": 0.5}))
    return service


def backed_up(service: Service, folder: Path, with_keys: bool = False) -> Backup:
    take(service.settings, service.engine, folder, with_keys, lambda _share, _what: None)
    return find(folder)


def restore(backup: Backup, settings: Settings, engine: Engine, replace: bool = False) -> None:
    """Restore without signing."""
    settings.home.mkdir(exist_ok=True)
    check(backup, quiet)
    with staged(backup, settings.home) as stage:
        put_objects(backup, Objects(settings.objects), settings.home, quiet)
        put_in_place(stage, engine, replace, quiet)


def quiet(_share: float, _what: str) -> None:
    pass


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
        }


@pytest.mark.parametrize("objects_url", ["file", "s3"], indirect=True)
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_every_row_and_object_comes_back_on_either_database(
    published: Service, lineage: Lineage, tmp_path: Path, target: str, request: pytest.FixtureRequest
) -> None:
    databases: Databases = request.getfixturevalue(target)
    backup = backed_up(published, tmp_path / "backups")
    assert sum(backup.manifest.rows.values()) > 20
    assert (backup.manifest.revision, backup.manifest.missing) == (migrate.latest(), ())
    elsewhere = replace(Settings.under(tmp_path / "elsewhere"), objects=f"{published.settings.objects}-elsewhere")
    with closing_engine(databases.new()) as engine:
        restore(backup, elsewhere, engine)
        assert rows(engine) == rows(published.engine)
        with writing(engine) as session:
            assert session.scalars(select(Rollout.id).where(Rollout.verdict.is_(None))).all() == [1]
            session.add(Token(role="viewer", name="new", sha256="0" * 64))  # numbers go on after those that are there
    kept = {blob for blob in lineage.blobs if blob not in payloads(lineage)}
    assert {stored.sha256 for stored in Objects(elsewhere.objects).list_all()} == kept


def payloads(lineage: Lineage) -> set[str]:
    return {step.payload.sha256 for step in lineage.diffs}


def test_a_second_backup_copies_what_is_new(published: Service, lineage: Lineage, tmp_path: Path) -> None:
    first = backed_up(published, tmp_path / "backups")
    kept = {stored.sha256: stored.tag for stored in first.objects.list_all()}
    new = published.objects.put(b"a checkpoint").sha256
    with writing(published.engine) as session:
        session.add(Training(model=lineage.model, spec={"checkpoint": new}))
    place = first.folder.rename(first.folder.with_name("20200101T000000Z"))
    second = backed_up(published, tmp_path / "backups")
    assert second.folder != place
    now_kept = {stored.sha256: stored.tag for stored in second.objects.list_all()}
    assert now_kept == kept | {new: now_kept[new]}
    check(find(place), quiet)


def test_what_the_server_lost_is_named_and_the_rest_kept(published: Service, lineage: Lineage, tmp_path: Path) -> None:
    removed, altered = lineage.graph.sha256, lineage.snapshots[1].payload.sha256
    published.objects.remove(removed)
    spoil(published.objects, altered)
    backup = backed_up(published, tmp_path / "backups")
    assert set(backup.manifest.missing) == {removed, altered}
    assert not {removed, altered} & set(backup.manifest.objects)
    check(backup, quiet)


def test_what_is_lost_after_a_backup_is_in_the_next_one_all_the_same(
    published: Service, lineage: Lineage, tmp_path: Path
) -> None:
    first = backed_up(published, tmp_path / "backups")
    first.folder.rename(first.folder.with_name("20200101T000000Z"))
    published.objects.remove(lineage.graph.sha256)
    cut(published.objects, lineage.snapshots[1].payload.sha256)
    backup = backed_up(published, tmp_path / "backups")
    assert (backup.manifest.missing, lineage.graph.sha256 in backup.manifest.objects) == ((), True)
    check(backup, quiet)


def test_an_object_that_is_damaged_while_it_is_restored(published: Service, tmp_path: Path) -> None:
    backup = backed_up(published, tmp_path / "backups")
    check(backup, quiet)
    alter(an_object(backup))
    with pytest.raises(BlobCorrupt, match="damaged meanwhile"):
        put_objects(backup, Objects((tmp_path / "elsewhere").as_uri()), tmp_path, quiet)


def test_an_interrupted_backup_leaves_nothing_that_looks_whole(published: Service, tmp_path: Path) -> None:
    def interrupt(share: float, _what: str) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(published.settings, published.engine, tmp_path / "backups", False, interrupt)
    with pytest.raises(NotFound, match="there is no backup"):
        find(tmp_path / "backups")
    check(backed_up(published, tmp_path / "backups"), quiet)
    assert not (tmp_path / "backups" / ".unfinished").exists()


def test_two_backups_at_once_are_refused(published: Service, tmp_path: Path) -> None:
    def again(_share: float, _what: str) -> None:
        with pytest.raises(Conflict, match="another backup"):
            take(published.settings, published.engine, tmp_path, False, quiet)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(published.settings, published.engine, tmp_path, False, again)


def alter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def an_object(backup: Backup) -> Path:
    return next(path for path in (backup.folder.parent / "objects").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda backup: alter(backup.folder / "database.db"), BlobCorrupt),
        (lambda backup: alter(backup.folder / "root.json"), BlobCorrupt),
        (lambda backup: alter(an_object(backup)), BlobCorrupt),
        (lambda backup: (backup.folder / "database.db").unlink(), NotFound),
        (lambda backup: an_object(backup).unlink(), NotFound),
    ],
)
def test_damage_is_found_before_anything_is_written(
    published: Service, tmp_path: Path, damage: Callable[[Backup], None], error: type[DiffServerError]
) -> None:
    backup = backed_up(published, tmp_path / "backups")
    damage(backup)
    with pytest.raises(error):
        check(backup, quiet)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"format": "diffserver-backup-2"}'])
def test_what_is_no_manifest_is_refused(published: Service, tmp_path: Path, manifest: bytes) -> None:
    backup = backed_up(published, tmp_path / "backups")
    (backup.folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(Invalid):
        find(tmp_path / "backups")


def test_rows_that_are_there_stay_unless_they_are_to_be_replaced(published: Service, tmp_path: Path) -> None:
    backup = backed_up(published, tmp_path / "backups")
    before = rows(published.engine)
    with writing(published.engine) as session:
        session.execute(update(Candidate).values(notes=["changed"]))
    with pytest.raises(Conflict, match="is not empty"):
        require_empty(published.engine)
    restore(backup, published.settings, published.engine, replace=True)
    assert rows(published.engine) == before


def test_a_backup_of_an_earlier_revision_is_migrated_and_of_a_later_one_refused(
    published: Service, tmp_path: Path
) -> None:
    backup = backed_up(published, tmp_path / "backups")
    with opened(backup.folder / "database.db") as engine, engine.begin() as connection:
        command.downgrade(migrate._config(connection), "0010")
    with staged(backup, tmp_path) as stage, stage.connect() as connection:
        assert migrate.revision(connection) == migrate.latest()
        assert count_rows(connection)["versions"] == 3
    with opened(backup.folder / "database.db") as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew), staged(backup, tmp_path):
        pass


def test_keys_come_along_if_asked_for_and_replace_none(published: Service, tmp_path: Path) -> None:
    assert not any(name.startswith("keys/") for name in backed_up(published, tmp_path / "without").manifest.files)
    backup = backed_up(published, tmp_path / "with", with_keys=True)
    elsewhere = Settings.under(tmp_path / "elsewhere")
    put_files(backup, elsewhere)
    put_files(backup, elsewhere)
    for path in published.settings.keys.rglob("*.*"):
        copied = elsewhere.keys / path.relative_to(published.settings.keys)
        assert (copied.read_bytes(), copied.stat().st_mode & 0o077) == (path.read_bytes(), 0)
    (elsewhere.keys / "online" / "online.pem").write_bytes(b"another")
    with pytest.raises(Conflict, match=r"online\.pem is another file"):
        put_files(backup, elsewhere)
