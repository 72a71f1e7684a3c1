"""Compare diffs that are trained in int8 steps with fp32 fine-tuning that is rounded back to int8.

The small classifier of `loop` is held in int8, knows seven classes and is taught three more; budgets are shares of its
int8 file's bytes: `python -m benchmarks.int8 --json FILE`.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from benchmarks import machine
from benchmarks.loop import CLASSES, OLD, STEPS, Classifier, accuracy, examples, plain
from diffclient.tensors.snapshot import Snapshot
from diffserver.diffs import Int8Linear, NotTrained, TrainedDiff, apply, encode, hashed, snapshot, sparse, to_int8
from diffserver.methods.parametrised import load

SHARES, HEADROOMS, SEEDS = (0.02, 0.01), (1.0, 2.0, 4.0), (0, 1, 2)
METHODS: Mapping[str, Callable[..., TrainedDiff]] = {"sparse": sparse, "hashed": hashed}


@dataclass(frozen=True)
class Case:
    """One way to a diff in int8; metrics are mean accuracies over the seeds, on unseen examples of all classes."""

    way: str
    """`sparse` and `hashed` are trained; `nearest` is the sparse diff to fp32 fine-tuning, rounded back to int8."""
    per_channel: bool
    headroom: float
    share: float
    """The budget, as a share of the int8 file's bytes."""
    metric_parent: float
    metric_full: float
    """Of fp32 fine-tuning."""
    metric_rounded: float
    """Of all its weights, rounded back to int8: no payload of this size carries them."""
    metric_diff: float
    payload_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Trained:
    """The classifier before and after it was taught in fp32."""

    parent: nn.Module
    full: nn.Module


def train(seed: int) -> Trained:
    """Return a classifier that knows the old classes, and one that was then taught all."""
    torch.manual_seed(seed)
    parent = Classifier()
    plain(parent, None, examples(range(OLD), 6000, seed=1))
    full = copy.deepcopy(parent)
    plain(full, None, examples(range(CLASSES), 6000, seed=2))
    return Trained(parent, full)


def rounded(base: nn.Module, full: nn.Module) -> nn.Module:
    """Return the base with the weights of `full`, rounded to its int8 steps."""
    model, there = copy.deepcopy(base), full.state_dict()
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, Int8Linear) and layer.bias is not None:
                layer.weight.copy_((there[f"{name}.weight"] / layer.weight_scale).round_().clamp_(-128, 127))
                layer.bias.copy_(there[f"{name}.bias"])
    return model


def nearest(base: nn.Module, wanted: nn.Module, budget: float) -> tuple[float, int]:
    """Return the accuracy and the bytes of the sparse diff that is nearest to the wanted weights."""
    before, after = copy.deepcopy(base), copy.deepcopy(wanted)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotTrained)
        old, new, diff, out = (Path(name) / part for part in ("old", "new", "diff", "out"))
        snapshot(before, old)
        snapshot(after, new)
        about = encode(old, new, diff, budget)
        apply(old, diff, out)
        load(before, Snapshot(out).read_all())
    return accuracy(before), about.payload_bytes


def trained(base: nn.Module, way: str, budget: float) -> tuple[float, int]:
    """Return the accuracy and the bytes of a trained diff."""
    model = copy.deepcopy(base)
    diff = METHODS[way](model, budget, STEPS)
    plain(model, diff, examples(range(CLASSES), 6000, seed=2))
    size = diff.bytes
    return accuracy(diff.finish()), size


def measure() -> Iterator[Case]:
    """Yield all cases."""
    starts = [train(seed) for seed in SEEDS]
    for per_channel, headroom in product((True, False), HEADROOMS):
        bases = [to_int8(copy.deepcopy(start.parent), per_channel=per_channel, headroom=headroom) for start in starts]
        back = [rounded(base, start.full) for base, start in zip(bases, starts, strict=True)]
        held = sum(tensor.nbytes for tensor in bases[0].state_dict().values())
        weights = sum(tensor.numel() for tensor in bases[0].state_dict().values())
        for share, way in product(SHARES, ("nearest", *METHODS)):
            budget = share * held / (4 * weights)
            pairs = zip(bases, back, strict=True)
            made = [nearest(*pair, budget) if way == "nearest" else trained(pair[0], way, budget) for pair in pairs]
            yield Case(
                way,
                per_channel,
                headroom,
                share,
                metric_parent=_mean(map(accuracy, bases)),
                metric_full=_mean(accuracy(start.full) for start in starts),
                metric_rounded=_mean(map(accuracy, back)),
                metric_diff=_mean(metric for metric, _ in made),
                payload_bytes=max(size for _, size in made),
                file_bytes=held,
            )


def _mean(metrics: Iterable[float]) -> float:
    return round(mean(metrics), 4)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = []
    for case in measure():
        print(case, flush=True)
        cases.append(case)
    if options.json:
        figures = {
            "command": "python -m benchmarks.int8 --json int8.json", "machine": machine.describe(),
            "cases": [asdict(case) for case in cases],
        }  # fmt: skip
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
