import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, MetaData, Table, insert, inspect, select, text

from diffclient.release.metric import Metric
from diffserver.app import create_app
from diffserver.errors import DatabaseTooNew, NotMigrated, Unavailable
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import METADATA, Candidate
from tests.server import factories
from tests.server.conftest import Databases, closing_engine

LATEST = migrate.latest()


@pytest.fixture
def database_url(databases: Databases) -> str:
    """A database of each kind that was never migrated."""
    return databases.new()


@pytest.fixture
def migrated(engine: Engine) -> Engine:
    migrate.upgrade(engine)
    return engine


def test_tables_and_migrations_agree(migrated: Engine) -> None:
    with migrated.connect() as connection:
        assert migrate.differences(connection) == []


def test_check_constraints_agree(engine: Engine) -> None:
    def constraints() -> set[tuple[str, str | None, str]]:
        looked = inspect(engine)
        return {
            (table, check["name"], check["sqltext"])
            for table in METADATA.tables
            for check in looked.get_check_constraints(table)
        }

    migrate.upgrade(engine)
    by_migrations = constraints()
    with writing(engine) as session:
        METADATA.drop_all(session.connection())
        METADATA.create_all(session.connection())
    assert by_migrations == constraints()
    assert len(by_migrations) >= 5


def test_an_empty_database_is_refused_with_what_to_type(engine: Engine, settings: Settings) -> None:
    with pytest.raises(NotMigrated, match="run: diffserver migrate"):
        create_app(settings)
    assert migrate.upgrade(engine) == (None, migrate.latest())
    assert create_app(settings).title == "diffserver"


def test_a_database_of_a_later_release_is_refused(migrated: Engine, settings: Settings) -> None:
    with writing(migrated) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="revision 9999, which this release does not know"):
        create_app(settings)
    with pytest.raises(DatabaseTooNew):
        migrate.upgrade(migrated)


def test_an_unfinished_revision_is_refused(migrated: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "latest", lambda: "9998")
    with pytest.raises(NotMigrated, match=f"at revision {LATEST}, this release needs 9998; run: diffserver migrate"):
        migrate.check(migrated)


def test_migrating_again_changes_nothing(migrated: Engine) -> None:
    assert migrate.upgrade(migrated) == (migrate.latest(), migrate.latest())


@pytest.mark.parametrize("release", ["0001", "0002"])
def test_candidates_of_earlier_releases_are_kept(engine: Engine, release: str) -> None:
    new = factories.update("v0", "v1", 1, notes=["known"])
    values = {"state": "open", "created_at": utc_now(), **new.columns()}
    values |= {"metric_name": "WER", "metric_counts": "words"}
    for name in ("snapshot", "graph"):
        values |= {f"{name}_sha256": values[name].sha256, f"{name}_length": values[name].length}
    with engine.execution_options(writes=True).connect() as connection, connection.begin():
        command.upgrade(migrate._config(connection), release)
        models, candidates = (Table(name, MetaData(), autoload_with=connection) for name in ("models", "candidates"))
        connection.execute(insert(models).values(name="speech", task="asr", created_at=utc_now()))
        columns = values.keys() & candidates.columns.keys()
        connection.execute(insert(candidates).values({name: values[name] for name in columns}))
    assert migrate.upgrade(engine) == (release, LATEST)
    with reading(engine) as session:
        kept = session.get_one(Candidate, 1)
    assert (kept.evaluation, kept.payload) == (factories.EVALUATION, new.payload_blob)
    assert kept.notes == ([] if release == "0001" else ["known"])
    assert (kept.tried, kept.data_sha256) == ([], None)


BLOB = {"sha256": factories.digest("a blob"), "length": 9}
OLD_MANIFEST = {"probes": [{"domain": "words", "blob": BLOB, "words": 60, "errors": 4}], "wer_ppm": 66_666}
OLD_EVALUATION = {"words": {"parent": None, "candidate": {"errors": 12, "words": 400}}}
NEW_EVALUATION = {"words": {"parent": None, "candidate": {"errors": 12, "total": 400}}}


def measured_before_metrics(model: str) -> dict[str, dict[str, Any]]:
    """A row in each table that said what a model measured, before metrics had names; its domain is called words."""
    digest, now = factories.digest(model), utc_now()
    blob = {"snapshot_sha256": digest, "snapshot_length": 9, "graph_sha256": digest, "graph_length": 9}
    figures = {"changed_weights": 0, "budget": 0.0, "payload_share": 0.0, "seconds_train": 0.0}
    version = {"model": model, "number": 0, "digest": digest}
    return {
        "models": {"name": model, "task": "asr" if model == "speech" else "gestures", "created_at": now},
        "candidates": {
            **version, **blob, **figures, "id": len(model), "kind": "base", "method": "base", "state": "published",
            "manifest": OLD_MANIFEST, "evaluation": OLD_EVALUATION, "tried": [{"method": "full", "mean_wer": 3.5}],
            "refusals": [], "notes": [], "domains": ["words"], "data": "/data", "created_at": now,
        },
        "versions": {
            **version, "id": len(model), "candidate_id": len(model), "forced": False, "published_by": "me",
            "published_at": now,
        },
        "steps": {"id": len(model), "model": model, "to_digest": digest, "length": 9, "manifest": OLD_MANIFEST},
        "channels": {"model": model, "name": "stable"},
        "devices": {
            "id": model, "model": model, "name": model, "channel": "stable", "client": "", "enrolled_at": now
        },
        "reports": {
            "id": len(model), "device_id": model, "stage": "installed", "errors": 4, "words": 60, "wer_ppm": 66_666,
            "downloaded_bytes": 9, "created_at": now,
        },
    }  # fmt: skip


def documents(engine: Engine, reports: str) -> list[Any]:
    """All that is measured, as it stands in the database; the columns of reports are given."""
    columns = {"candidates": "manifest evaluation tried", "steps": "manifest", "reports": reports}
    found: list[Any] = []
    with engine.connect() as connection:
        for name, wanted in columns.items():
            table = Table(name, MetaData(), autoload_with=connection)
            rows = connection.execute(select(*(table.c[one] for one in wanted.split())).order_by(table.c.id))
            found += map(tuple, rows)
    return found


def test_what_was_measured_before_metrics_is_kept_under_its_new_names_and_back(engine: Engine) -> None:
    with engine.execution_options(writes=True).connect() as connection, connection.begin():
        command.upgrade(migrate._config(connection), "0004")
        for rows in map(measured_before_metrics, ("speech", "gestures")):
            for name, row in rows.items():
                connection.execute(insert(Table(name, MetaData(), autoload_with=connection)).values(row))
    before = documents(engine, "errors words wer_ppm")
    assert migrate.upgrade(engine) == ("0004", LATEST)
    probes = [{"domain": "words", "blob": BLOB, "total": 60, "errors": 4}]
    manifests = [
        {"probes": probes, "error_rate_ppm": 66_666, "metric": metric}
        for metric in ({"name": "WER", "counts": "words"}, {"name": "error rate", "counts": "examples"})
    ]
    tried = [{"method": "full", "mean_error_rate": 3.5}]
    assert documents(engine, "errors total error_rate_ppm") == [
        *((manifest, NEW_EVALUATION, tried) for manifest in manifests),
        *((manifest,) for manifest in manifests),
        *[(4, 60, 66_666)] * 2,
    ]
    with reading(engine) as session:
        speech, gestures = session.scalars(select(Candidate).order_by(Candidate.id))
    assert (speech.metric, gestures.metric) == (Metric("WER", "words"), Metric("error rate", "examples"))
    with engine.execution_options(writes=True).connect() as connection, connection.begin():
        command.downgrade(migrate._config(connection), "0004")
    assert documents(engine, "errors words wer_ppm") == before


def test_the_way_back_leads_to_the_same_tables(migrated: Engine) -> None:
    def columns() -> dict[str, set[str]]:
        looked = inspect(migrated)
        return {table: {column["name"] for column in looked.get_columns(table)} for table in looked.get_table_names()}

    after = columns()
    with migrated.execution_options(writes=True).connect() as connection, connection.begin():
        command.downgrade(migrate._config(connection), "0002")
    assert after["candidates"] - columns()["candidates"] == {"tried", "data_sha256", "metric_name", "metric_counts"}
    more = {"total", "error_rate_ppm", "cause", "report_id", "device_time", "measure", "full_deliveries"}
    assert after["reports"] - columns()["reports"] == more
    assert migrate.upgrade(migrated) == ("0002", LATEST)
    assert columns() == after


def test_migrations_that_start_together_run_once(engine: Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        before = [done.result()[0] for done in [pool.submit(migrate.upgrade, engine) for _ in range(3)]]
    assert sorted(before, key=str) == [migrate.latest(), migrate.latest(), None]


def test_a_migration_that_fails_leaves_nothing(engine: Engine) -> None:
    with writing(engine) as session:
        session.execute(text("CREATE TABLE tokens (id INTEGER)"))
    with pytest.raises(Exception, match="tokens"):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == ["tokens"]


def test_a_database_that_does_not_exist_yet_is_made(tmp_path: Path) -> None:
    with closing_engine(f"sqlite:///{tmp_path}/new.db") as engine:
        migrate.upgrade(engine)
        migrate.check(engine)


def test_a_database_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    with closing_engine(f"sqlite:///{tmp_path}/no/such/folder/x.db") as engine:
        for act in (migrate.check, migrate.upgrade):
            with pytest.raises(Unavailable, match=r"unable to open.*run `diffserver init`"):
                act(engine)


def test_a_health_check_ends_as_the_database_is(database_url: str) -> None:
    def check() -> tuple[int, str]:
        environment = os.environ | {"DIFFSERVER_DATABASE": database_url}
        command = [sys.executable, "-m", "diffserver.storage.migrate"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert check() == (1, "the database is empty; run: diffserver migrate\n")
    with closing_engine(database_url) as engine:
        migrate.upgrade(engine)
    assert check() == (0, "")
