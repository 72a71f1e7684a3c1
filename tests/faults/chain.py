"""The commands of a device's life, from enrolment to a rollback, and the check after a fault."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffclient.cli import main
from diffclient.errors import DiffClientError
from diffclient.store.state import State, objects
from diffclient.store.store import Store
from tests.faults.site import Site

SCORE = ["--score", "tests.client.lineage:classify"]
STORE = "store"
"""The store's folder, below the watched folder, so that its own name is watched, too."""
ROLES = ("root", "timestamp")
"""The roles from which all other metadata is verified."""

Known = Mapping[str, int]
"""The version of each role's metadata that a device relies on."""


@dataclass(frozen=True)
class Act:
    """A command, the device's version before and after it, and the version that the server assigns."""

    name: str
    command: tuple[str, ...]
    target: int
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Case:
    """An act on a site, and the device's metadata before and after it."""

    site: Site
    act: Act
    before: Known
    after: Known

    def digests(self) -> tuple[str | None, str | None]:
        """Return the digests before and after the act."""
        old, new = (None if number is None else self.site.lineage.digest(number)
                    for number in (self.act.before, self.act.after))  # fmt: skip
        return old, new


def acts(site: Site, updates: int) -> list[Act]:
    """Return a device's acts, with `updates` updates."""
    update = ("update", *SCORE)
    return [
        Act("enrolment", tuple(site.enrolling()), 0, None, None),
        Act("first install", update, 0, None, 0),
        Act("counting", ("field", "--errors", "3", "--total", "50"), 0, 0, 0),
        *(Act(f"update {number}", update, number, number - 1, number) for number in range(1, updates + 1)),
        Act("return", ("rollback",), updates, updates, updates - 1),
    ]


def do(command: Sequence[str], folder: Path) -> int:
    """Run a command of `diffclient` quietly; return its exit code. Raises any error that is not typed."""
    os.environ["DIFFCLIENT_DEBUG"] = "1"
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        return main.main([*command, "--store", str(folder / STORE)])


def known(folder: Path) -> Known:
    """Return the version of the metadata that a device keeps; raises ValueError where a file is torn."""
    files = {role: folder / STORE / "trust" / f"{role}.json" for role in ROLES}
    return {role: json.loads(file.read_bytes())["signed"]["version"] for role, file in files.items() if file.exists()}


def flaw(case: Case, folder: Path, done: bool) -> str:
    """Check a device after a fault and let it go on; return what is wrong, or an empty string.

    `done`: the command had reported its success to the caller or the server.
    """
    store = Store(folder / STORE)
    try:
        state = _loaded(store)
        return _state_flaw(case, state, done) or _trust_flaw(case, folder, state, done) or _next(case, folder, store)
    except (DiffClientError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _loaded(store: Store) -> State:
    state = store.state()
    if state.current:
        store.verify(state.current)
    return state


def _state_flaw(case: Case, state: State, done: bool) -> str:
    old, new = case.digests()
    if state.digest == new or (state.digest == old and not done):
        return ""
    return "what was done is undone" if done else f"runs {state.digest}, which is neither {old} nor {new}"


def _trust_flaw(case: Case, folder: Path, state: State, done: bool) -> str:
    """Return a flaw if the device lost metadata that it has acted on, since it would accept an older answer again."""
    digests, (old, new) = known(folder), case.digests()
    relied = case.after if done or (state.digest == new and new != old) else case.before
    lost = [role for role, version in relied.items() if digests.get(role, 0) < version]
    return f"forgot the {' and the '.join(lost)} that it had relied on" if lost else ""


def _next(case: Case, folder: Path, store: Store) -> str:
    """Enrol if need be, poll twice."""
    site, state = case.site, store.state()
    if not store.enrolled:
        if case.act.name != "enrolment":
            return "the enrolment is gone"
        if do(site.enrolling(), folder):
            return "cannot be enrolled again"
    expected = state.digest if state.held_back else site.lineage.digest(case.act.target)
    for poll in ("next", "second"):
        if code := do(("update", *SCORE), folder):
            failure = store.state().failure
            why = f"{failure.stage}: {failure.reason}" if failure else f"exit code {code}"
            return f"the {poll} poll fails: {why}"
        if _loaded(store).digest != expected:
            return f"the {poll} poll leads to another version"
    return _leftovers(store)


def _leftovers(store: Store) -> str:
    """Return files that remain after two polls without need."""
    state = store.state()
    needed = {version.digest for version in state.kept}
    needed |= {blob.sha256 for version in state.kept for blob in objects(version.manifest)}
    folders = (store.root / "slots", store.root / "objects", store.root / "downloads")
    names = {path.name for folder in folders for path in folder.iterdir()}
    odd = names ^ needed | {path.name for path in store.root.rglob("*.new")}
    return f"left over, or missing: {', '.join(sorted(odd))}" if odd else ""
