"""The command that makes a server of a backup, which devices that are ahead of it accept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffserver.cli.home import Home, host_user, read_settings
from diffserver.cli.output import AsJson, show
from diffserver.cli.progress import progress_bar
from diffserver.errors import Invalid
from diffserver.settings import TOKEN_FILE, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from diffserver.trust.reissue import Reissued
    from diffserver.upkeep.restore import Backup


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(restore)


def restore(
    place: Annotated[
        Path, typer.Argument(metavar="FROM", help="A backup's folder, or the one that `backup` was given.")
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Remove all rows that are there first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Restore the latest backup, checked to the byte, and sign it anew, so that devices which are ahead accept it.

    Stop servers and workers first. The keys have to be in the home, unless the backup has them. Signatures go on above
    all that may have been made since the backup, and so do the numbers of versions.

    Examples: `diffserver restore /backup`, `DIFFSERVER_DATABASE=postgresql://… diffserver restore /backup`
    """
    from diffserver.storage.database import connect
    from diffserver.upkeep.restore import find, require_empty

    settings, backup = read_settings(home), find(place)
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.database)
    if not replace:
        require_empty(engine)
    elif not (yes or as_json or typer.confirm(f"Remove all rows of {engine.url.render_as_string()}?")):
        raise Invalid("nothing was restored", "")
    rows, signed = _restore(backup, settings, engine, replace)
    value = {
        "backup": str(backup.folder),
        "made": backup.manifest.moment.isoformat(),
        "rows": rows,
        "objects": len(backup.manifest.objects),
        "least_version": signed.least,
        "next_numbers": dict(signed.next_numbers),
        "to_sign": list(signed.elsewhere),
    }
    show(value, as_json, "\n".join(_described(backup, settings, rows, signed)))


def _restore(backup: "Backup", settings: Settings, engine: "Engine", replace: bool) -> tuple[int, "Reissued"]:
    """Carry it out; the database changes last, in one transaction."""
    from diffserver.catalog import audit
    from diffserver.storage.database import writing
    from diffserver.storage.object_store import Objects
    from diffserver.storage.store_errors import store_errors
    from diffserver.trust.bootstrap import write_anchor
    from diffserver.trust.keys import Keyring
    from diffserver.trust.reissue import reissue
    from diffserver.upkeep.restore import check, put_files, put_in_place, put_objects, staged

    with progress_bar("restores") as move, store_errors():
        check(backup, move)
        put_files(backup, settings)
        with staged(backup, settings.home) as stage:
            with writing(stage) as session:
                signed = reissue(session, Keyring(settings.keys), backup.manifest.moment)
            put_objects(backup, Objects(settings.objects), settings.home, move)
            rows = put_in_place(stage, engine, replace, move)
        with writing(engine) as session:
            made = backup.manifest.moment.isoformat()
            audit.record(session, host_user(), "backup.restore", None, made=made, rows=rows, replaced=replace)
    write_anchor(engine, settings.home)
    return rows, signed


def _described(backup: "Backup", settings: Settings, rows: int, signed: "Reissued") -> list[str]:
    from diffserver.trust.metadata.roles import TARGETS

    made = f"{backup.manifest.moment:%Y-%m-%d %H:%M} UTC"
    lines = [
        f"Restored the backup of {made}: {rows:,} rows, {len(backup.manifest.objects):,} objects.",
        f"Metadata goes on at version {signed.least}: devices that have seen newer than the backup's accept it.",
    ]
    lines += [f"The next version of {model} is number {number}." for model, number in signed.next_numbers.items()]
    for role in signed.elsewhere:
        lines.append(
            "The key of targets is elsewhere; if a model or keys were added since, run: diffserver keys renew"
            if role == TARGETS
            else f"The key of {role} is elsewhere; where it is, run: diffserver renew {role} --restored --keys FOLDER"
        )
    lines.append("Devices that enrolled since have to enrol again.")
    if not (settings.home / TOKEN_FILE).is_file():
        lines.append("There is no admin's token here; to make one: diffserver token create admin")
    return [*lines, "Next: diffserver serve"]
