"""The command that removes what is old: shown first, done when asked to."""

from typing import Annotated

import typer

from diffserver.cli.home import Home, host_user, open_home
from diffserver.cli.output import AsJson, listing, show


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(prune)


def prune(
    really: Annotated[bool, typer.Option("--yes", "--really", help="Remove it; without, it is only shown.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than DIFFSERVER_KEEP_… say: reports, candidates, trainings, uploads, tokens, devices,
    the audit log, events.

    What devices may be assigned, and what a training may start from, is never among it.

    Examples: `diffserver prune`, `diffserver prune --yes --json`
    """
    from diffserver.catalog import audit
    from diffserver.storage import uploads
    from diffserver.storage.column_types import utc_now
    from diffserver.storage.database import writing
    from diffserver.storage.object_store import Objects
    from diffserver.storage.store_errors import store_errors
    from diffserver.upkeep.prune import carry_out, plan

    settings, engine = open_home(home)
    objects = Objects(settings.objects)
    with store_errors():
        planned = plan(engine, objects, settings.keep, utc_now())
    counts = planned.counts()
    if really:
        if removed := {name.replace(" ", "_"): count for name, (count, _) in counts.items() if count}:
            with writing(engine) as session:
                audit.record(session, host_user(), "old.prune", None, **removed)
        with store_errors():
            carry_out(engine, objects, planned)
        uploads.sweep(settings.home)
    value = {"removed": really, "found": {name: {"count": n, "bytes": size} for name, (n, size) in counts.items()}}
    title = "Removed" if really else "Would go (remove it with --yes)"
    rows = [(name, f"{count:,}", f"{size:,}") for name, (count, size) in counts.items()]
    show(value, as_json, listing(title, ["what", "how many", "bytes"], rows))
