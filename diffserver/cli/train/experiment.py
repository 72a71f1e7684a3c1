"""The commands `diffserver experiment …`: compare chains of updates by several methods with the full chain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffserver.choices.methods import BASE, DEFAULT, FULL, Use, method_names
from diffserver.cli.output import show_wide, warn
from diffserver.cli.progress import bars, progress_bar
from diffserver.errors import Invalid

if TYPE_CHECKING:
    from diffserver.experiment.cache import Cache
    from diffserver.experiment.plan import Plan
    from diffserver.experiment.results import Results
    from diffserver.tasks import Task

EXTRA = "pip install 'diffserver[experiment]'"
QUICK_BASE, QUICK_UPDATE = 60, 20
"""Steps of a quick experiment's trainings, too few for any accuracy."""


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
            help=f"{', '.join(method_names(Use.EXPERIMENT))}; "
            "with parameters, sparse:spread=0.7,steps=900; at budgets of its own, bitdelta@0.04. "
            f"{BASE}:… and {FULL}:… set parameters of the reference. Repeatable.",
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
    path: Json = Path("build/experiment/chain.json"),
    accelerator: Annotated[
        str, typer.Option(help="What it is trained on: auto, cpu, cuda, or cuda:N, one of several.")
    ] = "auto",
    quick: Annotated[bool, typer.Option(help="Hardly train at all: shows in a minute or two that it runs.")] = False,
    any_code: Annotated[bool, typer.Option(help="Take finished results that other code has made, too.")] = False,
) -> None:
    """Train chains of updates by several methods, and measure how far each drifts from full retraining.

    After an interruption, the same command continues where it stopped.

    Example: `diffserver experiment chain -m sparse -m topk --budget 0.02 --budget 0.01 --seed 0 --seed 1`
    """
    try:
        from diffserver.experiment.cache import Cache
        from diffserver.experiment.plan import Plan, entries, find_domains, reference, shortened
        from diffserver.tasks import open_task
    except ImportError as error:
        raise Invalid(f"the experiment needs {error.name}", EXTRA) from error
    methods, chosen = method or [DEFAULT], open_task(task)
    base, full = (reference(methods, name, chosen) for name in (BASE, FULL))
    domains = find_domains(data or _make_data(chosen, folder, updates, quick), updates)
    name = "synthetic" if data is None else data.resolve().name
    plan = Plan(name, domains, entries(methods, budget or [0.02], chosen), tuple(seed or [0]), base, full, accelerator)
    plan = shortened(plan, QUICK_BASE, QUICK_UPDATE) if quick else plan
    _run_plan(chosen, plan, Cache(folder / "kept", any_code), path)


def join(
    files: Annotated[list[Path], typer.Argument(help="Results of `experiment chain`.")],
    path: Json = Path("build/experiment/chain.json"),
) -> None:
    """Put the results of several experiments together: other seeds, methods or budgets.

    Example: `diffserver experiment join sparse.json baselines.json --json chain.json`
    """
    from diffserver.experiment import results

    _finish(results.join([results.read(file) for file in files]), path)


def _run_plan(task: "Task", plan: "Plan", cache: "Cache", path: Path) -> None:
    """Run the plan; write the results after every update."""
    from diffserver.experiment.chain import run
    from diffserver.experiment.results import Results
    from diffserver.experiment.version_bench import Bench
    from diffserver.methods.method import MethodError

    results = Results()
    path.parent.mkdir(parents=True, exist_ok=True)
    with bars() as shown:
        whole, step = shown.add("experiment", plan.rows), shown.add("")

        def show_progress(done: float, message: str) -> None:
            step.move(done, message[:48].ljust(48))

        try:
            for row in run(Bench(task, plan, cache, show_progress)):
                results = results.plus(row)
                results.write(path)
                shown.say(str(row))
                whole.advance(1)
        except MethodError as error:  # of a base, without which there is nothing
            raise Invalid(str(error)) from error
        except KeyboardInterrupt:
            shown.say("Stopped. The same command goes on from here.")
            raise
    _finish(results, path)


def _finish(results: "Results", path: Path) -> None:
    """Write results and plots, print the tables; exit with status 1 if a chain failed."""
    from diffserver.experiment.plots import plots
    from diffserver.experiment.show import tables

    path.parent.mkdir(parents=True, exist_ok=True)
    results.write(path)
    try:
        drawn = plots(results, path.with_suffix(""))
    except ImportError as error:
        raise Invalid(f"plots need {error.name}; the results are in {path}", EXTRA) from error
    show_wide(tables(results), f"Written: {', '.join(map(str, [path, *drawn]))}")
    for failure in results.failures:
        warn(str(failure))
    if results.failures:
        raise typer.Exit(1)


def _make_data(task: "Task", folder: Path, updates: int, quick: bool) -> Path:
    """Make the task's own data, or reuse what is there; return its folder. Raises Invalid."""
    from diffserver.tasks import MakesData

    if not isinstance(task, MakesData):
        raise Invalid(f"the task {task.name} makes no data of its own", "name a folder with --data")
    with progress_bar("data") as move:
        return task.make_data(folder, updates, quick, move)
