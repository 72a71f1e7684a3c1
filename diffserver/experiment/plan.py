"""The plan of an experiment: read from the command line, checked before anything is trained.

A method's name may carry parameters of its own, `sparse:spread=0.7,steps=900`, and its own budgets, `bitdelta@0.04`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffserver.choices.methods import BASE, FULL, Use, method_names
from diffserver.choices.parameters import parse
from diffserver.errors import Invalid
from diffserver.methods.definition import Definition
from diffserver.tasks import domain_folders
from diffserver.training.task_recipes import definition_of

REFERENCES = (BASE, FULL)
"""The methods of every experiment: version 0, and the full chain, with which others are compared."""


@dataclass(frozen=True)
class Entry:
    """One method at one budget."""

    label: str
    """The method's name and its parameters, as in the command."""
    definition: Definition
    budget: float


@dataclass(frozen=True)
class Domain:
    """A folder of data."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all files in the folder."""
        whole = hashlib.sha256()
        for path in sorted(path for path in self.path.rglob("*") if path.is_file()):
            data = path.read_bytes()
            whole.update(f"{path.relative_to(self.path).as_posix()}\0{len(data)}\0".encode())
            whole.update(data)
        return whole.hexdigest()


@dataclass(frozen=True)
class Plan:
    """All chains of an experiment. `domains` are the base's and one for each update."""

    data: str
    """The name of the data in results."""
    domains: tuple[Domain, ...]
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    base: Definition
    full: Definition
    device: str = "auto"

    @property
    def updates(self) -> int:
        """The number of updates in a chain."""
        return len(self.domains) - 1

    @property
    def rows(self) -> int:
        """The number of updates of all chains together, the full ones among them."""
        return len(self.seeds) * self.updates * (1 + len(self.entries))


def entries(methods: Sequence[str], budgets: Sequence[float], task: object = None) -> tuple[Entry, ...]:
    """Read `name`, `name:parameter=value,…`, `name@budget,…` or all of it, with the task's recipes; raises Invalid.

    Base and full chain are always there: see `reference`.
    """
    compared = [method for method in methods if _name(method) not in REFERENCES]
    diffs = [entry for method in compared for entry in _entries(method, budgets, task)]
    keys = [(entry.label, entry.budget) for entry in diffs]
    if len(set(keys)) < len(keys):
        raise Invalid("a method is asked for twice at the same budget", "name each once")
    return tuple(diffs)


def reference(methods: Sequence[str], name: str, task: object = None) -> Definition:
    """Return the definition of the base or the full chain, with the parameters in `base:…` or `full:…`."""
    parameters = [method.partition(":")[2] for method in methods if _name(method) == name]
    return definition_of(task, name, _parameters(",".join(parameters)))


def _name(method: str) -> str:
    return method.partition("@")[0].partition(":")[0]


def _parameters(text: str) -> dict[str, str]:
    return parse(part for part in text.split(",") if part)


def _entries(text: str, budgets: Sequence[float], task: object) -> list[Entry]:
    label, _, own = text.partition("@")
    name = _name(text)
    if name not in method_names(Use.EXPERIMENT):
        names = ", ".join((*REFERENCES, *method_names(Use.EXPERIMENT)))
        raise Invalid(f"there is no method {name!r} to compare", f"choose among {names}")
    definition = definition_of(task, name, _parameters(label.partition(":")[2]))
    definition.import_needed()
    try:
        own_budgets = [float(part) for part in own.split(",")] if own else budgets
    except ValueError as error:
        raise Invalid(
            f"{own!r} are no budgets", "give shares of the model's bytes, such as sparse@0.02,0.01"
        ) from error
    for budget in own_budgets:
        if not 0 < budget <= 1:
            raise Invalid(f"a budget of {budget} is no share of the model's bytes", "give one above 0 and at most 1")
    return [Entry(label, definition, budget) for budget in own_budgets]


def find_domains(folder: Path, updates: int) -> tuple[Domain, ...]:
    """Return the base's domain and one for each update: folders with both splits, by number, then by name.

    Raises Invalid if there are too few.
    """
    if updates < 1:
        raise Invalid(f"{updates} updates measure nothing", "give at least 1")
    folders = domain_folders.find_domains(folder)
    if len(folders) <= updates:
        raise Invalid(
            f"{folder} has {len(folders)} domains, and {updates} updates need {updates + 1}: the base's and one each",
            "ask for fewer updates or add folders with train.jsonl and test.jsonl",
        )
    return tuple(map(Domain, folders[: updates + 1]))


def shortened(plan: Plan, base_steps: int, update_steps: int) -> Plan:
    """Return the plan with trainings of at most so many steps, a quick run through all code."""
    quick = tuple(Entry(entry.label, entry.definition.shortened(update_steps), entry.budget) for entry in plan.entries)
    base, full = plan.base.shortened(base_steps), plan.full.shortened(update_steps)
    return Plan(plan.data, plan.domains, quick, plan.seeds, base, full, plan.device)
