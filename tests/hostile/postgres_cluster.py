"""A PostgreSQL of one's own, to be stopped and started again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.loopback.cluster import Cluster
from deploy.loopback.programs import POSTGRES


@contextmanager
def cluster(settings: str = "-c fsync=off") -> Iterator[Cluster]:
    """A running cluster, gone after the block; skips where there is no PostgreSQL."""
    if POSTGRES.find() is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    # The folder's path has to be short: a socket lies in it.
    made = Cluster(Path(tempfile.mkdtemp(prefix="pg-")), settings)
    try:
        made.make()
        made.start()
        yield made
        made.stop()
    finally:
        shutil.rmtree(made.folder)
