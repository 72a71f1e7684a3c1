"""The command that copies the objects of one store to another."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from diffserver.cli.home import Home, read_settings
from diffserver.cli.output import AsJson, show, warn
from diffserver.cli.progress import bars
from diffserver.errors import Invalid, NotFound
from diffserver.settings import Settings, objects_url, variable

if TYPE_CHECKING:
    from diffserver.storage.copy_objects import Copied


def add_to(group: typer.Typer) -> None:
    """Add this command to those for objects."""
    group.command("copy")(objects_copy)


def objects_copy(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[FROM] TO",
            help="URLs of stores: file:///…, s3://…, gs://… or az://…; without FROM it is the home's own store.",
        ),
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Copy the objects that TO lacks, each checked by its SHA-256; status 1 if some are damaged at FROM.

    Safe while servers and workers run. Run it again whenever you like, also after an interruption: what is there is
    not copied again. Nothing is removed.

    Examples: `diffserver objects copy s3://bucket/diffs`, `diffserver objects copy file:///backup/objects gs://bucket`
    """
    settings = read_settings(home)
    source, target = _stores(places, settings)
    copied = _copy(source, target, settings.home)
    counts = {"copied": copied.copied, "bytes": copied.bytes, "there": copied.there}
    text = f"Copied {copied.copied:,} objects, {copied.bytes:,} bytes, to {target}; {copied.there:,} were there before."
    if source == settings.objects and not copied.lost:
        text += f"\nNext: set {variable('objects')}={target} for servers and workers, and copy once more as they stop."
    show({"from": source, "to": target, **counts, "lost": list(copied.lost)}, as_json, text)
    for name in copied.lost:
        warn(f"object {name} is missing or damaged at {source}")
    if copied.lost:
        warn("  run: diffserver verify --repair, then this command again")
        raise typer.Exit(1)


def _stores(places: list[str], settings: Settings) -> tuple[str, str]:
    """Return the URLs of the store to copy from and of the one to copy to; raises Invalid, NotFound."""
    if len(places) > 2:
        raise Invalid("objects are copied from one store to one other", "give two URLs, or one to copy the home's own")
    source, target = map(_url, [settings.objects, *places][-2:])
    if source.rstrip("/") == target.rstrip("/"):
        raise Invalid(f"{source} is where the objects are already", "name another store")
    folder = Path(unquote(urlsplit(source).path))
    if source.startswith("file://") and not folder.is_dir():
        raise NotFound(f"there is no folder {folder} to copy from", "pass --home, or the URL of the store to copy from")
    return source, target


def _url(text: str) -> str:
    try:
        url = objects_url(text)
    except ValueError as error:
        raise Invalid(f"{text!r} names no store: {error}", "write a folder as file:///its/path") from error
    if url.startswith("memory://"):
        raise Invalid("a store in memory is gone with its process", "name another store")
    return url


def _copy(source: str, target: str, home: Path) -> "Copied":
    from diffserver.storage.copy_objects import copy_missing
    from diffserver.storage.object_store import Objects
    from diffserver.storage.store_errors import store_errors

    place = home if home.is_dir() else None
    with (
        store_errors(),
        tempfile.TemporaryDirectory(prefix="copy-", dir=place) as work,
        bars() as shown,
    ):
        bar = shown.add("copies objects", None, "bytes")
        return copy_missing(
            Objects(source),
            Objects(target),
            Path(work),
            on_bytes=lambda done, total: bar.move(done, total=total),
        )
