"""Commands for what was trained: candidates, publish, versions, devices."""

from typing import Annotated

import typer

from diffserver.cli.output import AsJson, listing, show
from diffserver.cli.server import URL, ModelName, Server, Token, connected


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (candidates, publish, versions, devices):
        app.command()(command)


def candidates(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's candidates: trained, applied with the device's code, evaluated.

    Example: `diffserver candidates commands --json`
    """
    with connected(server, token) as remote:
        found = list(remote.pages("/v1/candidates", model=model))
    rows = [
        (item["id"], item["number"], item["method"], item["state"],
         item["payload"] and item["payload"]["length"], f"{item['payload_share']:.2%}",
         item["digest"][:12], "; ".join(item["refusals"]) or "none")
        for item in found
    ]  # fmt: skip
    headings = ["id", "version", "method", "state", "payload bytes", "share", "digest", "refusals"]
    show(found, as_json, listing(f"Candidates of {model}", headings, rows))


def publish(
    candidate: Annotated[int, typer.Argument(metavar="CANDIDATE", help="The candidate's id.")],
    force: Annotated[bool, typer.Option("--force", help="Publish in spite of refusals; it is recorded.")] = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make a candidate its model's next version: devices get it at their next poll.

    Example: `diffserver publish 7`
    """
    with connected(server, token) as remote:
        version = remote.post(f"/v1/candidates/{candidate}/publish", {"force": force})
    forced = ", forced" if version["forced"] else ""
    people = f"Version {version['number']} is published ({version['digest'][:12]}{forced})."
    show(version, as_json, people)


def versions(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's versions."""
    with connected(server, token) as remote:
        found = list(remote.pages(f"/v1/models/{model}/versions"))
    rows = [
        (item["number"], item["digest"][:12], item["kind"], item["payload"] and item["payload"]["length"],
         f"{item['manifest']['wer_ppm'] / 1e4:.2f} %", "yes" if item["forced"] else "no", item["published_at"])
        for item in found
    ]  # fmt: skip
    headings = ["version", "digest", "kind", "payload bytes", "probe WER", "forced", "published"]
    show(found, as_json, listing(f"Versions of {model}", headings, rows))


def devices(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's devices, what they run and what they measured."""
    with connected(server, token) as remote:
        found = list(remote.pages(f"/v1/models/{model}/devices"))
    rows = []
    for item in found:
        last = item["last_report"] or {}
        measured = last.get("wer_ppm")
        rows.append(
            (item["name"], item["version"], item["channel"], last.get("stage"),
             None if measured is None else f"{measured / 1e4:.2f} %", last.get("reason"), item["last_seen"])
        )  # fmt: skip
    headings = ["device", "version", "channel", "last report", "WER measured", "reason", "last seen"]
    show(found, as_json, listing(f"Devices of {model}", headings, rows))
