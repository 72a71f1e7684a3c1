"""The command line `diffserver`, put together from the modules of `cli`."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from diffclient.errors import DiffClientError
from diffserver.cli import usage
from diffserver.cli.fleet import audit, devices, status
from diffserver.cli.host import backup, prune, restore, serve, setup, verify
from diffserver.cli.late import add_late
from diffserver.cli.output import console, print_error
from diffserver.cli.release import changes, publishing, shown, snapshot
from diffserver.cli.train import demo, experiment, logs, trainings
from diffserver.errors import DiffServerError
from diffserver.tasks import TaskError


def _tokens(group: typer.Typer) -> None:
    from diffserver.cli.host import tokens

    tokens.add_to(group)


def _keys(group: typer.Typer) -> None:
    from diffserver.cli.keys import at_server

    at_server.add_to(group)


def _rollouts(group: typer.Typer) -> None:
    from diffserver.cli.release import rollouts

    rollouts.add_to(group)


def _device(group: typer.Typer) -> None:
    from diffserver.cli.fleet import device

    device.add_to(group)


def _channels(group: typer.Typer) -> None:
    from diffserver.cli.fleet import channels

    channels.add_to(group)


def _models(group: typer.Typer) -> None:
    from diffserver.cli.fleet import models

    models.add_to(group)


def _webhook(group: typer.Typer) -> None:
    from diffserver.cli.fleet import webhook

    webhook.add_to(group)


def _objects(group: typer.Typer) -> None:
    from diffserver.cli.host import objects

    objects.add_to(group)


def _diffs(group: typer.Typer) -> None:
    from diffserver.cli.train import diffs

    diffs.add_to(group)


app = typer.Typer(
    help="Train, publish and serve neural diffs. Start with `diffserver init` and `diffserver serve`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(f"diffserver {version('diffserver')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


setup.add_to(app)
serve.add_to(app)
prune.add_to(app)
verify.add_to(app)
backup.add_to(app)
restore.add_to(app)
trainings.add_to(app)
logs.add_to(app)
status.add_to(app)
publishing.add_to(app)
devices.add_to(app)
snapshot.add_to(app)
changes.add_to(app)
add_late(app, "rollouts", "Rollouts: start, watch, approve, pause, resume, abort.", _rollouts)
shown.add_ledger_to(app)
add_late(app, "candidate", "One candidate: show.", shown.add_candidate_to)
add_late(app, "version", "One version: show.", shown.add_version_to)
add_late(app, "device", "One device: show, set attributes, move, revoke, decommission.", _device)
add_late(app, "channels", "Channels: list, create, ask for two persons.", _channels)
add_late(app, "model", "Models: list, archive, restore, delete.", _models)
add_late(app, "webhook", "The webhook for events of rollouts: show, test.", _webhook)
audit.add_to(app)
add_late(app, "token", "Make, list and revoke tokens.", _tokens)
add_late(app, "keys", "Keys: show, create, rotate, sign offline, add a model's.", _keys)
add_late(app, "objects", "Object stores: copy from one to another.", _objects)
add_late(app, "diff", "Diffs as files, without a server: snapshot, encode, apply, inspect.", _diffs)
demo.add_to(app)
experiment.add_to(app)


def main() -> None:
    """Run the command; print an expected error on standard error and exit with status 1, or 2 for wrong usage."""
    try:
        sys.exit(app(prog_name="diffserver", standalone_mode=False) or 0)
    except typer.TyperException as error:
        if wrong := usage.wrong_usage(error, app, sys.argv[1:]):
            print_error(wrong)
        sys.exit(usage.STATUS)
    except typer.Abort:
        print_error(DiffServerError("stopped before an answer was given"))
        sys.exit(1)
    except (DiffServerError, DiffClientError, TaskError) as error:
        print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
