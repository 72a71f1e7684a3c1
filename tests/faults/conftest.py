"""The services of the server's tests, on SQLite and PostgreSQL."""

from tests.server.conftest import (
    database_url,
    databases,
    engine,
    objects_url,
    postgresql,
    s3,
    service,
    settings,
    sqlite,
)

__all__ = ["database_url", "databases", "engine", "objects_url", "postgresql", "s3", "service", "settings", "sqlite"]
