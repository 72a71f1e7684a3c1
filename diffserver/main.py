"""The command line: `diffserver`. Its groups are modules: what runs here, what asks a server, the demo."""

import sys

import typer

from diffclient.errors import DiffClientError
from diffserver.cli.host import serve, setup
from diffserver.cli.keys import at_server
from diffserver.cli.output import complain
from diffserver.cli.release import changes, publishing
from diffserver.cli.train import demo, experiment, status, trainings
from diffserver.errors import DiffServerError
from diffserver.tasks import TaskError

app = typer.Typer(
    help="Train, publish and serve neural diffs. Start with `diffserver init` and `diffserver serve`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
setup.add_to(app)
serve.add_to(app)
trainings.add_to(app)
status.add_to(app)
publishing.add_to(app)
changes.add_to(app)
at_server.add_to(app)
demo.add_to(app)
experiment.add_to(app)


def main() -> None:
    """Run the command; every expected failure ends in one line on standard error and a status other than 0."""
    try:
        app()
    except (DiffServerError, DiffClientError, TaskError) as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
