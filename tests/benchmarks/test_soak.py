"""The soak's arithmetic, and its connections that never send a whole request."""

from __future__ import annotations

import socket
import threading

from benchmarks.half_open import HalfOpen
from benchmarks.soak import growth, missed
from benchmarks.soaked_product import Sample
from tests.waiting import wait_for

FINE = {
    "longest_gap_s": 29.9,
    "rss_growth_mb": -3.0,
    "files_growth": 0,
    "threads_growth": 1,
    "trainings_submitted": 20,
    "trainings_ended": 20,
}


def test_growth_compares_the_last_quarter_with_the_second() -> None:
    used = [900, 900, 100, 102, 500, 500, 130, 132]
    assert growth([Sample(float(one), 0, 0) for one in used], "rss_mb") == 30.0


def test_what_is_over_its_bar_is_named() -> None:
    assert missed(FINE) == []
    assert missed(FINE | {"longest_gap_s": 30.1}) == ["longest_gap_s is 30.1, and the bar is 30.0"]
    assert missed(FINE | {"trainings_ended": 19}) == ["20 trainings, of which 19 ended"]


def test_connections_are_opened_again_when_the_server_ends_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        threading.Thread(target=_accept, args=(server, accepted), daemon=True).start()
        with HalfOpen(server.getsockname()[1], 3).held() as half_open:
            wait_for(lambda: len(accepted) == 3)
            accepted[0].close()
            wait_for(lambda: len(accepted) == 4)
        assert half_open.opened == 4
        for connection in accepted:
            connection.close()


def _accept(server: socket.socket, accepted: list[socket.socket]) -> None:
    while len(accepted) < 4:
        accepted.append(server.accept()[0])
