"""The devices and servers of the client's tests."""

from tests.client.conftest import device, lineage, server

__all__ = ["device", "lineage", "server"]
