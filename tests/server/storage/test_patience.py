from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from diffserver.storage import patience
from diffserver.storage.patience import patient


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def failing(errors: Iterator[Exception], answer: int) -> int:
    for error in errors:
        raise error
    return answer


def test_what_passes_is_waited_for_ever_longer(pauses: list[float]) -> None:
    errors = iter([OperationalError("select 1", {}, Exception("locked")) for _ in range(8)])
    assert patient(failing)(errors, 7) == 7
    assert pauses == [*patience.PAUSES, patience.PAUSES[-1], patience.PAUSES[-1]]


def test_what_does_not_pass_is_raised(pauses: list[float]) -> None:
    with pytest.raises(IntegrityError):
        patient(failing)(iter([IntegrityError("insert", {}, Exception("twice"))]), 7)
    assert pauses == []
