"""The command that makes a backup while servers run."""

from pathlib import Path
from typing import Annotated

import typer

from diffserver.cli.home import Home, open_home
from diffserver.cli.output import AsJson, show, warn
from diffserver.cli.progress import progress_bar


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(backup)


def backup(
    folder: Annotated[
        Path, typer.Argument(help="Where backups are kept; what an earlier one has is not copied again.")
    ],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="With the keys that sign and the admin's token: guard it like them.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Back up database and objects as they are at one moment, while servers run; status 1 if objects are lost.

    It can be restored on SQLite and PostgreSQL, whichever it comes from.

    Examples: `diffserver backup /backup`, `diffserver backup /backup --with-keys`
    """
    from diffserver.storage.store_errors import store_errors
    from diffserver.upkeep.backup import take

    settings, engine = open_home(home)
    with progress_bar("backs up") as move, store_errors():
        place, manifest = take(settings, engine, folder.absolute(), with_keys, move)
    rows, keys = sum(manifest.rows.values()), with_keys
    value = {"backup": str(place), "rows": rows, "objects": len(manifest.objects), "with_keys": keys}
    where = "The keys are in it: guard it like them." if keys else f"The keys are not in it, but in {settings.keys}."
    text = f"Backed up {rows:,} rows and {len(manifest.objects):,} objects in {place}. {where}"
    show({**value, "missing": list(manifest.missing)}, as_json, text)
    if manifest.missing:
        warn(f"{len(manifest.missing)} objects are missing or damaged at the server, and not in it")
        warn("  run: diffserver verify")
        raise typer.Exit(1)
