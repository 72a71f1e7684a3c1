"""Commands on diffs as files, without a server: snapshot, encode, apply, inspect."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from diffserver.checkpoints import diff_files
from diffserver.cli.output import AsJson, show, warn

Old = Annotated[Path, typer.Argument(help="The snapshot that the diff starts from.")]
Out = Annotated[Path, typer.Argument(help="The file to write.")]
WAYS_IN = "safetensors, whole or in shards, .pth, .onnx, or a folder with one of them"
DiffFile = Annotated[Path, typer.Argument(metavar="DIFF", help="The payload, `.ndiff`.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
    for command in (snapshot, encode, apply, inspect):
        group.command()(command)


def snapshot(
    checkpoint: Annotated[Path, typer.Argument(help=f"A checkpoint: {WAYS_IN}.")],
    out: Out,
    constant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TENSOR", help="A tensor that no one trains, like a mask: it may hold infinities. Repeat."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint as version 0 of a line, its weights on grids.

    Example: `diffserver diff snapshot model.safetensors v0.safetensors --constant attention.mask`
    """
    digest = diff_files.snapshot(checkpoint, out, constant or ())
    show({"digest": digest, "path": str(out)}, as_json, f"{out} is version {digest[:12]}.")


def encode(
    old: Old,
    new: Annotated[Path, typer.Argument(help=f"The new weights: a snapshot, or a checkpoint ({WAYS_IN}).")],
    out: Out,
    budget: Annotated[
        float | None, typer.Option(help="The most payload bytes, as a share of the fp32 bytes; without, exact.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the diff between two files of weights: exact, or with a budget the nearest sparse one.

    A nearest diff is not trained. One that is, in your own loop by `diffserver.diffs`, keeps far more.

    Example: `diffserver diff encode v0.safetensors retrained.safetensors v1.ndiff --budget 0.02`
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", diff_files.NotTrained)
        about = diff_files.encode(old, new, out, budget)
    for warning in caught:
        warn(f"warning: {warning.message}")
    share = f"{about.kind}, {about.payload_bytes:,} bytes, from {about.parent[:12]} to {about.digest[:12]}"
    show(asdict(about), as_json, f"{out}: {share}.")


def apply(old: Old, diff: DiffFile, out: Out, as_json: AsJson = False) -> None:
    """Write the version that a diff leads to, by the device's own code.

    Example: `diffserver diff apply v0.safetensors v1.ndiff v1.safetensors`
    """
    digest = diff_files.apply(old, diff, out)
    show({"digest": digest, "path": str(out)}, as_json, f"{out} is version {digest[:12]}.")


def inspect(
    diff: DiffFile,
    old: Annotated[Path | None, typer.Option("--old", help="Its parent's snapshot, to see what it changes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a diff is: its kind, its parts, where it leads, and with its parent what it changes.

    Example: `diffserver diff inspect v1.ndiff --old v0.safetensors`
    """
    facts = diff_files.inspect(diff, old)
    show(facts, as_json, "\n".join(_lines(facts)))


def _lines(facts: Mapping[str, Any]) -> list[str]:
    about, sections = facts["about"], facts["sections"]
    lines = [
        f"{facts['kind']}, {facts['bytes']:,} bytes, for {facts['tensors']} tensors, from {facts['parent']}…",
        "sections: " + ", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in sections.items()),
    ]
    if about:
        lines.append(f"made by {about['method']} in {about['steps']} steps, leads to {about['digest'][:12]}")
    if "carried" in facts:
        lines.append(
            f"{facts['share']:.2%} of the fp32 bytes, {facts['carried']:,} values for {facts['weights']:,} weights, "
            f"in {len(facts['changed_tensors'])} tensors"
        )
    return lines
