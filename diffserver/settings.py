"""Settings: what the DIFFSERVER_* variables of the environment say, which no other module reads.

A process makes its `Settings` once and hands them to whoever needs them; folders and secrets that commands need
without a server are asked for one by one. Nothing is created here. Two variables are declared with the options
that they stand for, DIFFSERVER_URL and DIFFSERVER_TOKEN, and read by typer.
"""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from diffserver.errors import SettingsError

T = TypeVar("T")

TOKEN_FILE, ROOT_FILE = "operator.token", "root.json"
"""In the home, made by `init`: an admin's token, and the root that devices enrol with."""

DATABASES = ("sqlite", "postgresql")
OBJECTS = ("file", "s3", "gs", "az", "memory")
LOCAL = ("file://", "memory://")


@dataclass(frozen=True)
class Quotas:
    """The most that one device may report, and the wrong tokens that one address may send in a row.

    An address gets one of those back every three seconds.
    """

    reports_per_hour: int = 60
    reports_per_day: int = 500
    wrong_tokens: int = 20


@dataclass(frozen=True)
class Retention:
    """The days that things are kept, counted from when they were made or ended; `diffserver prune` removes older ones.

    `reports_each` is how many reports of a device are kept at most, however young. `uploads` holds for every object
    that no row names, `devices` for those that were not seen for so long.
    """

    reports: int = 90
    reports_each: int = 1000
    candidates: int = 30
    trainings: int = 90
    uploads: int = 7
    devices: int = 365
    tokens: int = 90
    audit: int = 730
    events: int = 30


@dataclass(frozen=True)
class Webhook:
    """Where events of rollouts are sent, and the secret that signs them."""

    url: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def host(self) -> str:
        """The receiver's name, for logs: a URL's path may be a secret."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True)
class Settings:
    """The settings of one process of the service.

    `database` is a SQLAlchemy URL (SQLite or PostgreSQL), `objects` the URL of an object store. `max_polls`
    caps the polls answered at once; those of `remembered_devices`, at least, need no query where nothing is new, and
    are in the log only with `log_idle_polls`. `max_body` caps a request's body, in bytes, `max_checkpoint` an uploaded
    file.
    A request that writes waits `write_seconds` for its turn, and again for the database.
    `max_connections` caps what is open at once, by half of the files that the process may open, too. A request's head
    has to be there in `header_seconds`; a body, or an answer, has to move by `least_speed` bytes a second, judged every
    `body_seconds`.
    A device that says nothing for `update_seconds` in the middle of an update is shown as silent. Rollouts are looked
    at every `rollout_seconds`.
    For `drain_seconds` after SIGTERM a server goes on answering, and ends each connection with its answer.
    With `redirects`, devices download objects from the store itself, by URLs that are valid for a while.
    A worker that was not heard of for `lease_seconds` is lost, and its training another's, who goes on from the state
    that was saved last; one is saved every `save_seconds`.
    `task_files` are the Python files whose tasks a worker may run, each a path or `path:Class`.
    """

    home: Path
    database: str
    objects: str
    host: str = "127.0.0.1"
    port: int = 8080
    poll_seconds: int = 300
    max_polls: int = 256
    max_body: int = 1 << 20
    max_checkpoint: int = 8 << 30
    task_files: tuple[str, ...] = ()
    keys_folder: Path | None = None
    lease_seconds: int = 60
    save_seconds: int = 30
    write_seconds: int = 5
    max_connections: int = 1000
    header_seconds: int = 10
    body_seconds: int = 30
    least_speed: int = 1024
    update_seconds: int = 3600
    rollout_seconds: int = 60
    remembered_devices: int = 200_000
    drain_seconds: int = 0
    redirects: bool = False
    log_idle_polls: bool = False
    quotas: Quotas = Quotas()
    keep: Retention = Retention()
    webhook: Webhook | None = None

    @property
    def keys(self) -> Path:
        """The folder of the keys that sign."""
        return self.keys_folder or _keys_in(self.home)

    @classmethod
    def under(cls, home: Path) -> "Settings":
        """The defaults, with everything under one folder."""
        return cls.from_environment({"DIFFSERVER_HOME": str(home)})

    @classmethod
    def of_process(cls, **given: str) -> "Settings":
        """Read this process's environment, with what is given (`home="…"`) in place of it; raises SettingsError."""
        return cls.from_environment(os.environ | {variable(name): text for name, text in given.items() if text})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the DIFFSERVER_* variables; an empty one counts as unset. Raises SettingsError."""
        read = _Reader(environment)
        home = _home(read)
        objects = read("OBJECTS", objects_url, (home / "objects").as_uri())
        return cls(
            home=home,
            database=read("DATABASE", _database, f"sqlite:///{home / 'diffserver.db'}"),
            objects=objects,
            host=read("HOST", str, cls.host),
            port=read("PORT", _between(0, 65535), cls.port),
            poll_seconds=read("POLL_SECONDS", _between(1, 7 * 86400), cls.poll_seconds),
            max_polls=read("MAX_POLLS", _between(1, 1_000_000), cls.max_polls),
            remembered_devices=read("REMEMBERED_DEVICES", _between(1, 100_000_000), cls.remembered_devices),
            max_body=read("MAX_BODY", _between(1024, 1 << 30), cls.max_body),
            max_checkpoint=read("MAX_CHECKPOINT", _between(1024, 1 << 40), cls.max_checkpoint),
            lease_seconds=read("LEASE_SECONDS", _between(2, 86400), cls.lease_seconds),
            save_seconds=read("SAVE_SECONDS", _between(0, 86400), cls.save_seconds),
            write_seconds=read("WRITE_SECONDS", _between(1, 60), cls.write_seconds),
            max_connections=read("MAX_CONNECTIONS", _between(1, 1_000_000), cls.max_connections),
            header_seconds=read("HEADER_SECONDS", _between(1, 3600), cls.header_seconds),
            body_seconds=read("BODY_SECONDS", _between(1, 3600), cls.body_seconds),
            least_speed=read("LEAST_SPEED", _between(1, 1 << 30), cls.least_speed),
            update_seconds=read("UPDATE_SECONDS", _between(1, 30 * 86400), cls.update_seconds),
            rollout_seconds=read("ROLLOUT_SECONDS", _between(1, 86400), cls.rollout_seconds),
            drain_seconds=read("DRAIN_SECONDS", _between(0, 3600), cls.drain_seconds),
            redirects=_redirects(read, objects),
            log_idle_polls=read("LOG_IDLE_POLLS", _between(0, 1), 0) == 1,
            task_files=read("TASK_FILES", _task_files, cls.task_files),
            keys_folder=read("KEYS", _folder, None),
            quotas=Quotas(**_counts(read, Quotas(), "", 1_000_000)),
            keep=Retention(**_counts(read, Retention(), "KEEP_", 100_000)),
            webhook=_webhook(read),
        )


def variable(name: str) -> str:
    """Return the environment variable that sets this."""
    return f"DIFFSERVER_{name.upper()}"


def home_folder() -> Path:
    """Return the home of this process's environment."""
    return _home(_Reader(os.environ))


def keys_folder() -> Path:
    """Return the folder of keys of this process's environment."""
    read = _Reader(os.environ)
    return read("KEYS", _folder, None) or _keys_in(_home(read))


def secret(name: str) -> str | None:
    """Return a secret of this process's environment as it is there, None if it is unset or empty."""
    return os.environ.get(variable(name)) or None


@dataclass(frozen=True)
class _Reader:
    environment: Mapping[str, str]

    def __call__(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.environment.get(variable(name), "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise SettingsError(f"{variable(name)} is {text!r}: {error}", "correct the variable or unset it") from error


def _home(read: _Reader) -> Path:
    return Path(read("HOME", str, "./diffserver-home")).absolute()


def _webhook(read: _Reader) -> Webhook | None:
    url, secret = (read(f"WEBHOOK_{name}", str, "") for name in ("URL", "SECRET"))
    if not url and not secret:
        return None
    # Neither is repeated: both may hold what nobody else should read.
    if not _is_http(url):
        raise SettingsError("DIFFSERVER_WEBHOOK_URL is no URL of http or https", "correct the variable or unset both")
    if not _is_signing_secret(secret):
        raise SettingsError(
            "DIFFSERVER_WEBHOOK_SECRET is no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64",
            'make one: echo "whsec_$(openssl rand -base64 32)"',
        )
    return Webhook(url, secret)


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_signing_secret(text: str) -> bool:
    prefix, _, encoded = text.partition("_")
    try:
        return prefix == "whsec" and 24 <= len(base64.b64decode(encoded, validate=True)) <= 64
    except ValueError:
        return False


def _keys_in(home: Path) -> Path:
    return home / "keys"


def _counts(read: _Reader, usual: Quotas | Retention, prefix: str, most: int) -> dict[str, int]:
    """The fields of a value that is all whole numbers, each from a variable of its own."""
    return {name: read(prefix + name.upper(), _between(1, most), count) for name, count in asdict(usual).items()}


def _between(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high} is needed")
        return int(text)

    return parse


def _folder(text: str) -> Path | None:
    return Path(text).absolute()


def _database(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    dialect = scheme.partition("+")[0]
    if not separator or dialect not in DATABASES:
        raise ValueError(f"a URL that starts with {' or '.join(f'{name}://' for name in DATABASES)} is needed")
    if dialect == "sqlite" and rest in ("", "/", "/:memory:"):
        raise ValueError("the server and its workers share the database, so SQLite needs a file")
    # psycopg 3 is the driver that is installed; SQLAlchemy would look for its predecessor.
    return f"postgresql+psycopg://{rest}" if scheme == "postgresql" else text


def objects_url(text: str) -> str:
    """Return the URL of an object store as it is; raises ValueError if it is none."""
    if text.partition("://")[0] not in OBJECTS or "://" not in text:
        raise ValueError(f"a URL that starts with {', '.join(f'{name}://' for name in OBJECTS)} is needed")
    return text


def _redirects(read: _Reader, objects: str) -> bool:
    wanted = read("REDIRECTS", _between(0, 1), 0) == 1
    if wanted and objects.startswith(LOCAL):
        raise SettingsError(
            f"{variable('redirects')} is set, but nobody can download from {objects} itself",
            f"unset it, or set {variable('objects')} to a store that has URLs: s3://, gs:// or az://",
        )
    return wanted


def _task_files(text: str) -> tuple[str, ...]:
    return tuple(map(_task_file, filter(None, map(str.strip, text.split(",")))))


def _task_file(text: str) -> str:
    parts = re.fullmatch(r"(.+\.py)((?::\w+)?)", text)
    if parts is None:
        raise ValueError("paths with commas between are needed, each like path/to/file.py or path/to/file.py:Class")
    return f"{Path(parts[1]).absolute()}{parts[2]}"
