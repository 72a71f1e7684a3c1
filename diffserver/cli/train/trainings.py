"""Commands that queue trainings for the workers: base, train, trainings, cancel."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from diffserver.choices.channels import STABLE
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import AUTO, DEFAULT, Use, method_names
from diffserver.choices.parameters import parse
from diffserver.cli.connection import URL, Channel, MaxRegression, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, evaluation_table, line, listing, share, show, travel_line, tried_table
from diffserver.cli.train.checkpoints import NOT_MEASURED, upload
from diffserver.cli.wait import follow
from diffserver.errors import Invalid

DATA = typer.Option("--data", help="Folder, as the worker sees it, with a folder a domain: train.jsonl, test.jsonl.")
Data = Annotated[Path, DATA]
Domain = Annotated[str | None, typer.Option("--domain", help="The data's folder to train on.")]
Seed = Annotated[int, typer.Option("--seed", help="Everything random follows from it.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data. [default: the recipe's]")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter of the recipe, learning_rate=0.002, as in an experiment. Repeatable."),
]
Accelerator = Annotated[
    str,
    typer.Option(
        "--accelerator", help="What it is trained on: auto, cpu, cuda, cuda:N, several as cuda:0,cuda:1, or cuda:all."
    ),
]
Priority = Annotated[int, typer.Option("--priority", min=-1000, max=1000, help="Trainings of a higher one come first.")]
Detach = Annotated[bool, typer.Option("--detach", help="Submit only; do not wait for the candidate.")]

_DIFFS = method_names(Use.TRAINED_DIFF)
_COMPARED = tuple(name for name in method_names(Use.TRAINING) if name not in _DIFFS)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (base, train, trainings, cancel):
        app.command()(command)


def base(
    model: ModelName,
    data: Annotated[Path | None, DATA] = None,
    domain: Domain = None,
    task: Annotated[
        str | None, typer.Option(help="What is trained. [default: asr; of a checkpoint without --data, none]")
    ] = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    parameters: Parameters = None,
    accelerator: Accelerator = "auto",
    from_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--from-checkpoint", help="Enter these weights (safetensors, ONNX, .pth, a folder); train nothing."
        ),
    ] = None,
    off_grid: Annotated[
        list[str] | None,
        typer.Option("--off-grid", help="Tensors (a pattern) of the checkpoint that only exact diffs may change."),
    ] = None,
    priority: Priority = 0,
    detach: Detach = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Train a model's first version from nothing, or enter a checkpoint as it; follow that to its candidate.

    Weights of a checkpoint are rounded once, to about 10^-6 of their tensor's largest, unless they stay off the grid.
    Of the data only the test set is needed then. With neither data nor task, the checkpoint is delivered alone: devices
    verify it and measure nothing.

    Examples: `diffserver base commands --data corpus --domain 0-base`,
    `diffserver base detector --from-checkpoint detector.onnx`
    """
    if data is None and (from_checkpoint is None or task not in (None, DELIVERY)):
        raise Invalid("there is no --data to train or to measure on", "pass --data <folder>")
    task = task or ("asr" if data else DELIVERY)
    spec = _spec("base", model, data, domain, seed, epochs, accelerator, parameters)
    spec |= {"task": task, "off_grid": off_grid or [], "priority": priority}
    if from_checkpoint:
        with connected(server, token) as remote:
            spec |= upload(remote, from_checkpoint, task)
    _submit(spec, server, token, detach, as_json)


def train(
    model: ModelName,
    data: Data,
    domain: Domain = None,
    method: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(_DIFFS)}, {AUTO} (tries {' and '.join(method_names(Use.AUTO))}; the better is kept), "
            f"or {', '.join(_COMPARED)} (for comparison; not published)."
        ),
    ] = DEFAULT,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Most payload bytes, as a share of the fp32 snapshot's. [default: 0.02; with --max-drift 0.05]",
            show_default=False,
        ),
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option(
            "--max-drift",
            help="Look for the smallest payload whose mean error rate is within so many points of full retraining's.",
        ),
    ] = None,
    max_regression: MaxRegression = 5.0,
    channel: Channel = STABLE,
    seed: Seed = 0,
    epochs: Epochs = None,
    parameters: Parameters = None,
    accelerator: Accelerator = "auto",
    priority: Priority = 0,
    detach: Detach = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Train a diff against the version that a channel stands at, and follow the training to its candidate.

    One training, or with `--max-drift` or `--method auto` up to three, which are then shown.

    Examples: `diffserver train commands --data corpus --domain 1-athletes --budget 0.02`,
    `diffserver train commands --data corpus --max-drift 1.0 --method auto`,
    `diffserver train commands --data corpus --priority 10 --detach`
    """
    options = {"method": method, "budget": budget, "max_drift": max_drift, "max_regression": max_regression}
    options |= {"channel": channel, "priority": priority}
    spec = _spec("update", model, data, domain, seed, epochs, accelerator, parameters)
    _submit(spec | options, server, token, detach, as_json)


def trainings(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]")] = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List trainings and their progress."""
    with connected(server, token) as remote:
        items = list(remote.pages("/v1/trainings", model=model))
    rows = [
        (item["id"], item["spec"]["model"], item["spec"]["kind"], item["spec"]["domain"], item["priority"],
         item["state"], f"{item['progress']:.0%}", item["error"] or item["waiting"] or item["message"],
         item["candidate_id"])
        for item in items
    ]  # fmt: skip
    headings = ["id", "model", "kind", "domain", "priority", "state", "progress", "message", "candidate"]
    show(items, as_json, listing("Trainings", headings, rows))


def cancel(
    number: Annotated[int, typer.Argument(metavar="TRAINING")],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a training that waits or runs: at once, whatever it is at, and for good.

    Example: `diffserver cancel 7`
    """
    with connected(server, token) as remote:
        show(remote.delete(f"/v1/trainings/{number}"), as_json, f"Training {number} is cancelled.")


def _spec(
    kind: str,
    model: str,
    data: Path | None,
    domain: str | None,
    seed: int,
    epochs: int | None,
    accelerator: str,
    parameters: list[str] | None,
) -> dict[str, Any]:
    return {
        "kind": kind, "model": model, "data": data and str(data.absolute()), "domain": domain,
        "seed": seed, "epochs": epochs, "device": accelerator, "parameters": parse(parameters or []),
    }  # fmt: skip


def _submit(spec: dict[str, Any], server: str, token: str | None, detach: bool, as_json: bool) -> None:
    with connected(server, token) as remote:
        training = remote.post("/v1/trainings", spec)
        if detach:
            show(training, as_json, f"Training {training['id']} waits: {training['waiting']}.")
            return
        training = follow(remote, training)
        candidate = remote.get(f"/v1/candidates/{training['candidate_id']}")
    metric = candidate["metric"]
    tables = [tried_table(candidate["tried"], metric, candidate["to_fetch"])] if candidate["tried"] else []
    if candidate["evaluation"]:
        tables.append(evaluation_table(candidate["evaluation"], metric))
    show(candidate, as_json, Group(*tables, _describe(candidate)))


def _describe(candidate: dict[str, Any]) -> str:
    length = [f"{candidate['payload']['length']} bytes"] if candidate["payload"] else []
    size = ", ".join((*length, share(candidate)))
    name = f"Candidate {candidate['id']}: {candidate['method']}, version {candidate['number']}, {size}."
    unmeasured = [] if candidate["evaluation"] else [NOT_MEASURED]
    travels = [line(travel_line(candidate))] if candidate["to_fetch"] else []
    name = "\n".join((name, *travels, *unmeasured, *map(line, candidate["notes"])))
    if candidate["refusals"]:
        return name + "\nRefused:" + "".join(f"\n  - {line(refusal)}" for refusal in candidate["refusals"])
    if candidate["method"] in _COMPARED:
        return name
    return f"{name}\nPublish it with: diffserver publish {candidate['id']}"
