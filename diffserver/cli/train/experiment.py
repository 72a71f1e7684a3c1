"""The commands `diffserver experiment …`: chains of updates by several methods, against the full chain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffserver.cli.output import progress, show_wide, warn
from diffserver.errors import Invalid

if TYPE_CHECKING:
    from diffserver.experiment.cache import Kept
    from diffserver.experiment.plan import Plan
    from diffserver.experiment.results import Results
    from diffserver.tasks import Task

EXTRA = "pip install 'diffserver[experiment]'"
QUICK_BASE, QUICK_UPDATE = 60, 20
"""Steps of a quick experiment's trainings: it shows that everything runs, and nothing about accuracy."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Compare methods over chains of updates.", no_args_is_help=True)
    group.command("chain")(chain)
    group.command("join")(join)
    app.add_typer(group, name="experiment")


Json = Annotated[Path, typer.Option("--json", help="Where the results go; plots are put beside them.")]


def chain(
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="sparse, hashed, topk, topk-tuned, bitdelta, lora, pruned, pruned-tuned, factorised; "
            "with parameters, sparse:spread=0.7,steps=900; at budgets of its own, bitdelta@0.04. "
            "base:… and full:… set parameters of the reference. Repeatable.",
        ),
    ] = None,
    budget: Annotated[
        list[float] | None, typer.Option(help="Most payload bytes, as a share of the fp32 bytes. Repeatable.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Everything random follows from it. Repeatable.")] = None,
    updates: Annotated[int, typer.Option(help="Updates in a row.")] = 5,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of domains with train.jsonl and test.jsonl; without it, what the task makes."),
    ] = None,
    task: Annotated[
        str,
        typer.Option(help="What is trained and measured: a name, file.py, file.py:Class or package.module:Class."),
    ] = "asr",
    folder: Annotated[
        Path, typer.Option(help="Work folder: what is finished is kept there and not done again.")
    ] = Path("build/experiment"),
    results: Json = Path("build/experiment/chain.json"),
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    quick: Annotated[bool, typer.Option(help="Hardly train at all: shows in a minute or two that it runs.")] = False,
    any_code: Annotated[bool, typer.Option(help="Take finished results that other code has made, too.")] = False,
) -> None:
    """Train chains of updates by several methods, and measure how far each drifts from full retraining.

    Killed or stopped, the same command goes on where it was.

    Example: `diffserver experiment chain -m sparse -m topk --budget 0.02 --budget 0.01 --seed 0 --seed 1`
    """
    try:
        from diffserver.experiment import plan as plans
        from diffserver.experiment.cache import Kept
        from diffserver.tasks import open_task
    except ImportError as error:
        raise Invalid(f"the experiment needs {error.name}", EXTRA) from error
    methods = method or ["sparse"]
    entries = plans.entries(methods, budget or [0.02])
    base, full = (plans.reference(methods, name) for name in ("base", "full"))
    chosen = open_task(task)
    domains = plans.find_domains(data or _made(chosen, folder, updates, quick), updates)
    name = "synthetic" if data is None else data.resolve().name
    plan = plans.Plan(name, domains, entries, tuple(seed or [0]), base, full, device)
    plan = plans.shortened(plan, QUICK_BASE, QUICK_UPDATE) if quick else plan
    _run(chosen, plan, Kept(folder / "kept", any_code), results)


def join(
    files: Annotated[list[Path], typer.Argument(help="Results of `experiment chain`.")],
    results: Json = Path("build/experiment/chain.json"),
) -> None:
    """Put the results of several experiments together: other seeds, methods or budgets.

    Example: `diffserver experiment join sparse.json baselines.json --json chain.json`
    """
    from diffserver.experiment import results as reading

    _finish(reading.join([reading.read(path) for path in files]), results)


def _run(task: "Task", plan: "Plan", kept: "Kept", path: Path) -> None:
    """Run the plan; the results are written after every update."""
    from diffserver.experiment.chain import run
    from diffserver.experiment.results import Results
    from diffserver.experiment.version_bench import Bench
    from diffserver.methods.method import MethodError

    found = Results()
    path.parent.mkdir(parents=True, exist_ok=True)
    with progress() as bars:
        whole, step = bars.add_task("experiment", total=plan.rows), bars.add_task("", total=1.0)

        def hear(done: float, message: str) -> None:
            bars.update(step, completed=done, description=message[:48].ljust(48))

        try:
            for one in run(Bench(task, plan, kept, hear)):
                found = found.plus(one)
                found.write(path)
                bars.console.print(str(one))
                bars.advance(whole)
        except MethodError as error:  # of a base, without which there is nothing
            raise Invalid(str(error)) from error
        except KeyboardInterrupt:
            bars.console.print("Stopped. The same command goes on from here.")
            raise
    _finish(found, path)


def _finish(found: "Results", path: Path) -> None:
    """Write results and plots, show the table; end with status 1 if a chain failed."""
    from diffserver.experiment.show import plots, tables

    path.parent.mkdir(parents=True, exist_ok=True)
    found.write(path)
    try:
        drawn = plots(found, path.with_suffix(""))
    except ImportError as error:
        raise Invalid(f"plots need {error.name}; the results are in {path}", EXTRA) from error
    show_wide(tables(found), f"Written: {', '.join(map(str, [path, *drawn]))}")
    for failure in found.failures:
        warn(str(failure))
    if found.failures:
        raise typer.Exit(1)


def _made(task: "Task", folder: Path, updates: int, quick: bool) -> Path:
    """Data of the task's own making; what of it is there is used again."""
    from diffserver.tasks import MakesData

    if not isinstance(task, MakesData):
        raise Invalid(f"the task {task.name} makes no data of its own", "name a folder with --data")
    with progress() as bars:
        bar = bars.add_task("data", total=1.0)

        def hear(done: float, message: str) -> bool:
            bars.update(bar, completed=done, description=message)
            return True

        made = task.make_data(folder, updates, quick, hear)
        hear(1.0, "data")  # which may have been there already
    return made
