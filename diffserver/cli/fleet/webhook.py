"""Commands for the webhook: what it was sent, and a trial of it."""

import typer

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.output import AsJson, line, listing, show


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for the webhook."""
    group.command("show")(show_webhook)
    group.command("test")(try_webhook)


def show_webhook(server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show where events of rollouts go, and what became of the latest.

    Example: `diffserver webhook show`
    """
    with connected(server, token) as remote:
        answer = remote.get("/v1/webhook")
    rows = [
        (event["created"], event["type"], event["data"].get("rollout"), event["delivered"], event["tries"],
         event["error"])
        for event in answer["events"]
    ]  # fmt: skip
    show(answer, as_json, listing("Events", ["at", "event", "rollout", "delivered", "tries", "last error"], rows))
    if not as_json:
        to = answer["host"] or "nobody: the server has no DIFFSERVER_WEBHOOK_URL"
        counts = f"{answer['waiting']} wait, {answer['given_up']} were given up"
        show(None, False, line(f"Events are sent to {to}; {counts}."))


def try_webhook(server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Have the server send a test to its webhook, and show what the receiver answers.

    Example: `diffserver webhook test`
    """
    with connected(server, token) as remote:
        answer = remote.post("/v1/webhook/test", {})
    show(answer, as_json, line(f"{answer['host']} took {answer['message_id']}, with status {answer['status']}."))
