"""Commands for candidates and versions: candidates, publish, versions."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from diffserver.choices.channels import STABLE
from diffserver.choices.methods import SNAPSHOT, Use, method_names
from diffserver.choices.rollouts import EVIDENCE, LEAST, MARGIN, MOST_FAILURES
from diffserver.cli.connection import URL, Channel, MaxRegression, ModelName, Server, Token, connected
from diffserver.cli.output import NO_METRIC, AsJson, console, listing, share, show, travel_line
from diffserver.cli.release import way
from diffserver.cli.release.shown import drift
from diffserver.cli.remote import Remote
from diffserver.cli.signing import Keys, change
from diffserver.cli.train import checkpoints, given_diff
from diffserver.errors import Conflict, Invalid
from diffserver.evaluation import from_json, mean_error_rate


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (candidates, publish, versions):
        app.command()(command)


def candidates(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's candidates: trained, applied with the device's code, evaluated.

    Example: `diffserver candidates commands --json`
    """
    with connected(server, token) as remote:
        items = list(remote.pages("/v1/candidates", model=model))
    rows = [
        (item["id"], item["number"], item["method"], item["state"],
         item["payload"] and item["payload"]["length"], share(item),
         *_travel(item, "probes", "total"), _mean(item), drift(item), item["digest"][:12],
         "; ".join(item["refusals"]) or "none")
        for item in items
    ]  # fmt: skip
    size = ["payload bytes", "share", "probe set", "to fetch"]
    headings = ["id", "version", "method", "state", *size, "mean error rate", "drift", "digest", "refusals"]
    show(items, as_json, listing(f"Candidates of {model}", headings, rows))


def _mean(item: Mapping[str, Any]) -> str | None:
    """Return the mean of the error rates on all test sets, where it was measured."""
    measured = from_json(item["evaluation"], "candidate")
    return f"{mean_error_rate(measured):.2f} %" if measured else None


def _travel(item: Mapping[str, Any], *parts: str) -> list[int | None]:
    """Return bytes that a device fetches for a candidate or a version; none where no device gets it."""
    return [item["to_fetch"] and item["to_fetch"][part] for part in parts]


def publish(
    candidate_or_model: Annotated[
        str | None, typer.Argument(metavar="CANDIDATE|MODEL", help="A candidate's id; with a checkpoint, the model.")
    ] = None,
    from_checkpoint: Annotated[
        Path | None,
        typer.Option("--from-checkpoint", help="Weights (safetensors, ONNX, .pth, a folder) to bring the model to."),
    ] = None,
    diff: Annotated[Path | None, typer.Option("--diff", help="A diff (.ndiff) that was trained elsewhere.")] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", help=f"With --diff: errors that you measured, {given_diff.FIGURES}.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help=f"{' or '.join(method_names(Use.CHECKPOINT))}: publish that one. {SNAPSHOT}: deliver the checkpoint "
            "whole, with tensors and a graph of its own.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Most payload bytes of sparse, as a share of fp32. [default: 0.02; with --max-drift 0.05]",
            show_default=False,
        ),
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option(
            "--max-drift",
            help="Look for the smallest sparse payload whose mean error rate is within so many points of the "
            "checkpoint's.",
        ),
    ] = None,
    max_regression: MaxRegression = 5.0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the test sets, as the worker sees it. [default: as before]")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="The data's folder that is new to the model.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: publish the smallest payload that nothing speaks against.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Publish in spite of refusals; it is recorded.")] = False,
    channel: Channel = STABLE,
    stages: way.Stages = None,
    only: way.Only = None,
    gate: way.Gate = EVIDENCE,
    wait: way.Wait = way.NO_WAIT,
    window: way.Hours = None,
    by: way.By = None,
    measure: way.Measure = None,
    margin: way.Margin = MARGIN,
    least: way.Least = LEAST,
    most_failures: way.MostFailures = MOST_FAILURES,
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make a candidate its model's next version: the channel's devices get it at their next poll.

    With `--stages` they get it in a rollout (`diffserver rollouts --help`): between two stages the gate looks at what
    devices report, and goes on, waits for more, or aborts. `--gate`, `--wait` and the options after them are its
    conditions. Where the server does not hold the model's key, the version is checked and signed here.

    A checkpoint that was trained elsewhere becomes two candidates first: exact, to the bit, and sparse, as near as the
    budget allows. Both are shown with their error rates; one is published. If the model itself has changed (other
    tensors, shapes, another graph), `--kind snapshot` delivers it whole: all devices fetch it, and diffs go on from it.
    With `--max-drift` up to five budgets are tried for sparse, which are then shown.

    A diff that was trained elsewhere, in a loop of your own, becomes a candidate like any other: it is applied with the
    device's code and measured on the model's test sets. What you measured is shown beside that, as yours.

    Examples: `diffserver publish 7`, `diffserver publish 7 --stages 1%,10%,50%,100% --wait 24h`,
    `diffserver publish commands --from-checkpoint new.safetensors --kind sparse`,
    `diffserver publish commands --diff v1.ndiff --evaluation eval.json`
    """
    if diff is not None and from_checkpoint is not None:
        raise Invalid("a version is made of a diff or of a checkpoint", "pass one of --diff and --from-checkpoint")
    if max_drift is not None and from_checkpoint is None:
        raise Invalid(
            "--max-drift looks for the budget of a checkpoint's diff", "pass --from-checkpoint, or leave it out"
        )
    led = way.body(channel, stages, only, gate, wait, window, by, measure, margin, least, most_failures)
    if from_checkpoint is not None:
        checkpoints.require_choice(kind, yes, as_json)
    with connected(server, token) as remote:
        if diff is None and from_checkpoint is None:
            version = _publish(remote, _candidate_id(candidate_or_model), force, keys, led)
            show(version, as_json, _describe_version(version, led))
            return
        spec, head = _update_spec(remote, candidate_or_model, data, channel)
        spec |= {"domain": domain, "max_regression": max_regression}
        if diff is not None:
            made, chosen = _of_diff(remote, spec, diff, evaluation, as_json)
        elif from_checkpoint is not None:
            checkpoints.require_bound(max_drift, kind, spec["task"])
            published = None if kind == SNAPSHOT else _graph(remote, head)
            spec |= checkpoints.upload(remote, from_checkpoint, spec["task"], published)
            outcomes = checkpoints.make(remote, spec, kind, budget=budget, max_drift=max_drift)
            made, chosen = asdict(outcomes), _choose(outcomes, kind, yes, force, as_json)
        version = _publish(remote, chosen["id"], force, keys, led) if chosen else None
    text = (
        _describe_version(version, led) if version else "Nothing is published; to do so: diffserver publish <candidate>"
    )
    show({**made, "version": version}, as_json, text)


Made = dict[str, Any]
"""What was made to be published, as plain JSON values."""


def _of_diff(
    remote: Remote, spec: Mapping[str, Any], diff: Path, evaluation: Path | None, as_json: bool
) -> tuple[Made, Any]:
    """Make a candidate of a diff and show it; return it."""
    candidate = given_diff.make(remote, spec, diff, evaluation)
    if not as_json:
        console.print(given_diff.described(candidate))
    return {"candidate": candidate}, candidate


def _choose(outcomes: checkpoints.Outcomes, kind: str | None, yes: bool, force: bool, as_json: bool) -> Any | None:
    """Show the candidates of a checkpoint; return the one to publish."""
    if not as_json:
        console.print(checkpoints.compare(outcomes))
    return checkpoints.choose(outcomes, kind, yes, force)


def _candidate_id(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        raise Invalid(f"{text or 'nothing'} is not a candidate's id", "see `diffserver candidates <model>`")
    return int(text)


def _publish(remote: Remote, candidate: int, force: bool, keys: Path | None, led: Mapping[str, Any]) -> Any:
    path = f"/v1/candidates/{candidate}"
    details = remote.get(path)
    expected = {"kind": "publish", "model": details["model"], "digest": details["digest"]}
    return change(remote, f"{path}/publish", {"force": force, **led}, expected, keys)


def _describe_version(version: Mapping[str, Any], led: Mapping[str, Any]) -> str:
    forced = ", forced" if version["forced"] else ""
    way_there = " Devices get it in stages: see `diffserver rollouts list`." if led["stages"] else ""
    published = f"Version {version['number']} is published ({version['digest'][:12]}{forced})."
    return f"{published}{way_there} {travel_line(version)}"


def _update_spec(remote: Remote, model: str | None, data: Path | None, channel: str) -> tuple[dict[str, Any], Any]:
    """Return the training's spec, and the version that it starts from.

    The model is the one named or the only one, the data what is given or that of the latest version. Raises Invalid,
    Conflict.
    """
    models = [model] if model else [item["name"] for item in remote.pages("/v1/models")]
    if len(models) != 1:
        raise Invalid(f"the server has {len(models)} models", f"name one of: {', '.join(models) or 'none'}")
    details = remote.get(f"/v1/models/{models[0]}")
    number = details["channels"].get(channel)
    if number is None:
        raise Conflict(f"the channel {channel} of model {models[0]} has no version yet", "publish one there first")
    (head,) = remote.get(f"/v1/models/{models[0]}/versions", after=number - 1, limit=1)["items"]
    folder = str(data.absolute()) if data else remote.get(f"/v1/candidates/{head['candidate_id']}")["data"]
    spec = {"kind": "update", "model": models[0], "channel": channel, "task": details["task"], "data": folder or None}
    return spec, head


def _graph(remote: Remote, version: Any) -> bytes:
    """Return the graph that a version's devices have; empty if there is none."""
    return remote.fetch(f"/v1/blobs/{version['manifest']['graph']['sha256']}")


def versions(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's versions."""
    with connected(server, token) as remote:
        items = list(remote.pages(f"/v1/models/{model}/versions"))
    rows = [
        (item["number"], item["digest"][:12], item["kind"], item["payload"] and item["payload"]["length"],
         *_travel(item, "probes", "metadata", "total"),
         f"{item['manifest']['error_rate_ppm'] / 1e4:.2f} %", "yes" if item["forced"] else "no", item["published_at"])
        for item in items
    ]  # fmt: skip
    metric = items[-1]["metric"]["name"] if items else NO_METRIC
    size = ["payload bytes", "probe set", "metadata", "to fetch"]
    headings = ["version", "digest", "kind", *size, f"probe {metric}", "forced", "published"]
    show(items, as_json, listing(f"Versions of {model}", headings, rows))
