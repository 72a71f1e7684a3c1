"""`diffserver snapshot`: a version's weights as a file, to train the next one from."""

from pathlib import Path
from typing import Annotated, Any

import typer

from diffclient import durable
from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, show
from diffserver.cli.progress import bars
from diffserver.cli.remote import Remote
from diffserver.errors import BlobCorrupt, NotFound


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(snapshot)


def snapshot(
    model: ModelName,
    version: Annotated[int | None, typer.Option("--version", help="Its number. [default: the latest]")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file. [default: MODEL-VERSION.safetensors]")] = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a version's weights as a safetensors file, checked against its SHA-256.

    A diff in a training loop of one's own starts from it.

    Example: `diffserver snapshot commands --out parent.safetensors`
    """
    with connected(server, token) as remote:
        chosen = _find(list(remote.pages(f"/v1/models/{model}/versions")), model, version)
        path = out or Path(f"{model}-{chosen['number']}.safetensors")
        _fetch(remote, chosen["snapshot"], path)
    value = {"path": str(path), "version": chosen["number"], "digest": chosen["digest"]}
    show(value, as_json, f"Version {chosen['number']} of {model} ({chosen['digest'][:12]}) is in {path}.")


def _find(versions: list[Any], model: str, number: int | None) -> Any:
    wanted = versions[-1]["number"] if number is None and versions else number
    for version in versions:
        if version["number"] == wanted:
            return version
    raise NotFound(f"{model} has no version {'yet' if wanted is None else wanted}", f"see: diffserver versions {model}")


def _fetch(remote: Remote, blob: Any, path: Path) -> None:
    """Write a blob to a file, which is there whole or not at all; raises BlobCorrupt."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file, bars() as shown:
            bar = shown.add("fetches the weights", blob["length"], "bytes")
            for piece in remote.pieces(f"/v1/blobs/{blob['sha256']}"):
                file.write(piece)
                bar.advance(len(piece))
        if durable.sha256(part) != blob["sha256"]:
            raise BlobCorrupt("the weights arrived altered", "run the command again")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
