"""The devices and servers of the client's tests, and the command line on one store."""

from tests.client.cli.test_main import cli, enrolled
from tests.client.conftest import device, lineage, server

__all__ = ["cli", "device", "enrolled", "lineage", "server"]
