"""The command `diffserver demo`: makes the corpus if no data is given, runs the demo, shows the table."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from diffserver.cli.output import AsJson, progress, show
from diffserver.errors import Invalid


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)


def demo(
    method: Annotated[str, typer.Option(help="sparse or hashed.")] = "sparse",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of real recordings: a folder a domain with train.jsonl and test.jsonl."),
    ] = None,
    task: Annotated[str, typer.Option(help="What is trained: asr, or asr-words for single words.")] = "asr",
    budget: Annotated[float, typer.Option(help="Most payload bytes, as a share of the fp32 snapshot's.")] = 0.02,
    updates: Annotated[int, typer.Option(help="How many updates in a row, if there is data for them.")] = 5,
    devices: Annotated[int, typer.Option(help="How many simulated devices.")] = 3,
    folder: Annotated[Path, typer.Option(help="Where everything is put.")] = Path("build/demo"),
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a recogniser, publish five diffs in a row to simulated devices, and report.

    Corpus and base are kept in the folder and used again. Example: `diffserver demo --method hashed`
    """
    try:
        from diffserver.demo.render import tables
        from diffserver.demo.run import Plan, run
    except ImportError as error:
        raise Invalid(f"the demo needs {error.name}", "pip install 'diffserver[demo]'") from error
    if method not in ("sparse", "hashed"):
        raise Invalid(f"no diff is made by {method!r}", "choose sparse or hashed")
    made = run(Plan(folder, data or _corpus(folder / "corpus"), task, method, budget, devices, updates, seed))
    written = ", ".join(str(folder / f"report.{kind}") for kind in ("json", "html", "png"))
    show(asdict(made), as_json, Group(tables(made), f"Written: {written}"))


def _corpus(folder: Path) -> Path:
    from diffserver.tasks.asr.corpus import build_corpus

    with progress() as bars:
        bar = bars.add_task("corpus", total=1.0)

        def show(done: float, message: str) -> bool:
            bars.update(bar, completed=done, description=message)
            return True

        build_corpus(folder, on_progress=show)
        show(1.0, "corpus")  # which may have been there already
    return folder
