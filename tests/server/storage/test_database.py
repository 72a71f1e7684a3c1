from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError

from diffserver.storage.database import now, reading, writing
from diffserver.storage.tables import Model, Training


def count(engine: Engine) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(Model)) or 0


def test_an_error_undoes_all_writes_of_its_block(engine: Engine) -> None:
    def write() -> None:
        with writing(engine) as session:
            session.add(Model(name="speech", task="asr"))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert count(engine) == 0


def test_foreign_keys_hold(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(Training(model="nobody", spec={}))


def test_a_writer_that_reads_first_waits_for_the_one_before_it(engine: Engine) -> None:
    def write(number: int) -> None:
        with writing(engine) as session:
            session.scalar(select(func.count()).select_from(Model))
            session.add(Model(name=f"model-{number}", task="asr"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert count(engine) == 40


def test_a_reader_sees_nothing_of_an_open_write_and_is_not_blocked(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Model(name="speech", task="asr"))
        session.flush()
        assert count(engine) == 0
    assert count(engine) == 1


def test_times_come_back_aware_and_equal(engine: Engine) -> None:
    with writing(engine) as session:
        moment = now(session)
        session.add(Model(name="speech", task="asr", created_at=moment))
    with reading(engine) as session:
        assert session.get_one(Model, "speech").created_at == moment
        assert moment.tzinfo is not None
