"""The command that reads every object and payload again, and mends what can be mended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffserver.cli.home import Home, host_user, open_home
from diffserver.cli.output import AsJson, listing, show
from diffserver.cli.progress import bars
from diffserver.errors import Invalid

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from diffserver.storage.object_store import Objects
    from diffserver.upkeep.damage import Damage, Inventory


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(verify)


def verify(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Make snapshots again where that is possible; remove damage without a name."),
    ] = False,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="With --repair: a file, or a folder of files, to take lost bytes from. Repeatable."
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Read every object and payload and compare it with the database; ends with status 1 if damage remains.

    Safe while the server runs.

    Examples: `diffserver verify`, `diffserver verify --repair --from /backup/objects`
    """
    from diffserver.catalog import audit
    from diffserver.storage.database import writing
    from diffserver.storage.object_store import Objects
    from diffserver.storage.store_errors import store_errors
    from diffserver.upkeep.damage import take_inventory
    from diffserver.upkeep.repair import repair as mend

    if sources and not repair:
        raise Invalid("--from says where to repair from", "pass --repair too")
    for source in sources or ():
        if not source.exists():
            raise Invalid(f"there is no {source}", "correct --from")
    settings, engine = open_home(home)
    objects = Objects(settings.objects)
    work = settings.home if settings.home.is_dir() else None
    with store_errors():
        parts = take_inventory(engine, objects)
        damages = _read(engine, objects, parts)
        done = mend(engine, objects, damages, sources or [], work) if repair and damages else {}
    if done:
        with writing(engine) as session:
            audit.record(session, host_user(), "objects.repair", None, repaired=len(done), damaged=len(damages))
    known = [_described(damage, done.get(damage)) for damage in damages]
    remaining = len(damages) - len(done)
    summary = {"read": len(parts.parts), "bytes": parts.length, "damaged": len(damages), "remaining": remaining}
    headings = ["what", "SHA-256", "is", "repair"]
    rows = [(row["what"], str(row["sha256"])[:12], row["problem"], row["repair"]) for row in known]
    text = listing("Damage", headings, rows) if damages else "Nothing is damaged."
    show(summary | {"damage": known}, as_json, text)
    if not as_json:
        show(
            None,
            False,
            f"{len(parts.parts):,} objects and payloads read, {len(damages)} damaged, {remaining} remain so.",
        )
    if remaining:
        raise typer.Exit(1)


def _read(engine: "Engine", objects: "Objects", parts: "Inventory") -> list["Damage"]:
    from diffserver.upkeep.damage import find_damage

    with bars() as shown:
        return find_damage(engine, objects, parts, shown.add("reads", parts.length, "bytes").advance)


def _described(damage: "Damage", done: str | None) -> dict[str, object]:
    from diffserver.upkeep.named_bytes import Held

    named = damage.bytes
    return {
        "kind": "payload" if isinstance(named, Held) else "object",
        "sha256": named.sha256,
        "length": named.length,
        "what": named.what or "no row names it",
        "problem": damage.problem,
        "repair": done,
    }
