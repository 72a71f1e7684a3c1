"""Connect commands to a server: the options that they share, and the connection."""

from typing import Annotated

import typer

from diffserver.cli.remote import Remote
from diffserver.errors import Invalid
from diffserver.settings import TOKEN_FILE, home_folder

URL = "http://127.0.0.1:8080"

Server = Annotated[
    str, typer.Option("--server", envvar="DIFFSERVER_URL", help="Where the server is.", show_default=True)
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="DIFFSERVER_TOKEN",
        help="An operator's token, of the role that the command needs. [default: from DIFFSERVER_HOME]",
        show_default=False,
    ),
]
Channel = Annotated[str, typer.Option("--channel", help="The channel whose devices it is for.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
MaxRegression = Annotated[
    float,
    typer.Option("--max-regression", help="Most points of error rate that an earlier domain may lose; 100: no bound."),
]


def connected(server: str, token: str | None) -> Remote:
    """Return the server with the token given or the one that `init` wrote; raises Invalid."""
    path = home_folder() / TOKEN_FILE
    if not token and not path.is_file():
        raise Invalid("no token of an operator", f"pass --token or DIFFSERVER_TOKEN, or run where {path} is")
    return Remote(server, token or path.read_text().strip())
