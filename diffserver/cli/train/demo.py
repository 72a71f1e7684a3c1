"""The command `diffserver demo`: make the corpus if no data is given, run the demo, print its report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from diffserver.choices.methods import DEFAULT, Use, method_names
from diffserver.cli.output import AsJson, show
from diffserver.cli.progress import progress_bar
from diffserver.errors import Invalid


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)


def demo(
    method: Annotated[str, typer.Option(help=f"{' or '.join(method_names(Use.TRAINED_DIFF))}.")] = DEFAULT,
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
    if method not in method_names(Use.TRAINED_DIFF):
        raise Invalid(f"no diff is made by {method!r}", f"choose {' or '.join(method_names(Use.TRAINED_DIFF))}")
    report = run(Plan(folder, data or _corpus(folder / "corpus"), task, method, budget, devices, updates, seed))
    written = ", ".join(str(folder / f"report.{kind}") for kind in ("json", "html", "png"))
    show(asdict(report), as_json, Group(tables(report), f"Written: {written}"))


def _corpus(folder: Path) -> Path:
    from diffserver.tasks.asr.corpus import build_corpus

    with progress_bar("corpus") as move:
        build_corpus(folder, on_progress=move)
    return folder
