"""Trainings in several processes: what they learn, who goes on from them, and how they end."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

if not torch.distributed.is_available():
    pytest.skip("this PyTorch has no torch.distributed", allow_module_level=True)

from diffclient.tensors.snapshot import fp32_bytes  # noqa: E402
from diffserver.methods.definition import load_definition  # noqa: E402
from diffserver.methods.method import MethodError  # noqa: E402
from diffserver.tasks import Task  # noqa: E402
from diffserver.training.batches import Lesson  # noqa: E402
from diffserver.training.make_version import make_version  # noqa: E402
from diffserver.training.new_version import NewVersion  # noqa: E402
from diffserver.training.parallel import ranks  # noqa: E402
from diffserver.training.parallel.processes import Processes, choose_accelerators  # noqa: E402
from diffserver.training.parallel.ranks import RankError  # noqa: E402
from diffserver.training.progress import Cancelled  # noqa: E402
from tests.server.points import as_version  # noqa: E402
from tests.server.training.parallel.drawn import FOLDERS, Drawn, Faulty, RestlessDrawn  # noqa: E402
from tests.server.training.test_make_version import Version  # noqa: E402
from tests.server.training.test_saved_state import STEPS, Album, Killed  # noqa: E402

pytestmark = pytest.mark.slow

BUDGET = 0.2


class Run:
    """A short training of a method, in one process or several, and the messages of its progress."""

    def __init__(self, tmp_path: Path, method: str = "sparse", find: Callable[[], Task] = Drawn) -> None:
        self.folder, self.method, self.find = tmp_path, method, find
        self.messages: list[str] = []
        self.stops_at = STEPS + 1

    def __call__(self, count: int, keeper: Album | None = None, batch: int = 8) -> NewVersion:
        task, out = self.find(), Path(mkdtemp(dir=self.folder)) / "version"
        parameters = {"steps": STEPS, "learning_rate": 0.01, "batch": batch}
        definition = load_definition(self.method).with_parameters(parameters)
        *earlier, new = (task.examples(folder, "train") for folder in FOLDERS)
        lesson = Lesson(new, earlier) if count == 1 else Processes(("cpu",) * count, self.find, FOLDERS)
        return make_version(
            task, definition, lesson, out, seed=3, parent=self.parent(task, out.parent), budget=BUDGET, device="cpu",
            on_progress=self.note, keeper=keeper,
        )  # fmt: skip

    def parent(self, task: Task, folder: Path) -> Version | None:
        if self.method == "base":
            return None
        initial = {name: tensor.numpy() for name, tensor in task.network(0).state_dict().items()}
        snapshot = as_version(folder / "parent.safetensors", initial)
        return Version(snapshot, snapshot.digest())

    def note(self, _progress: float, message: str) -> bool:
        self.messages.append(message)
        return not message.startswith(f"step {self.stops_at} ")

    def losses(self) -> list[float]:
        """The losses of all steps so far; a message may be told again."""
        found = [re.fullmatch(r"step .*, loss (.*)", message) for message in dict.fromkeys(self.messages)]
        self.messages = []
        return [float(match[1]) for match in found if match]


@pytest.mark.parametrize(("method", "count"), [("sparse", 2), ("hashed", 3), ("base", 2)])
def test_the_same_is_learnt_in_any_number_of_processes_but_for_rounding(
    tmp_path: Path, method: str, count: int
) -> None:
    run = Run(tmp_path, method)
    run(1)
    alone = run.losses()
    version = run(count)
    assert "reads 0-1-70-1" in run.messages
    together = run.losses()
    assert len(alone) == len(together) == STEPS
    assert np.allclose(together, alone, atol=0.005)
    assert len(version.payload or b"") <= BUDGET * fp32_bytes(version.table)


def test_as_many_processes_go_on_to_the_same_bits(tmp_path: Path) -> None:
    run = Run(tmp_path, "base", RestlessDrawn)
    straight, keeper = run(2), Album(tmp_path / "states")
    for stop in (24, STEPS):
        keeper.dies_after = stop
        with pytest.raises(Killed):
            run(2, keeper)
    keeper.dies_after = None
    assert run(2, keeper).digest == straight.digest
    assert keeper.begun_at == [0, 24, STEPS]


def test_another_number_of_processes_goes_on_to_the_end(tmp_path: Path) -> None:
    run, keeper = Run(tmp_path, find=RestlessDrawn), Album(tmp_path / "states")
    for count, stop in ((2, 12), (1, 24), (3, 30)):
        keeper.dies_after = stop
        with pytest.raises(Killed):
            run(count, keeper)
    keeper.dies_after = None
    assert run(2, keeper).payload
    assert keeper.begun_at == [0, 12, 24, 30]
    assert len(run.losses()) == STEPS


def test_a_state_of_another_training_is_refused_and_training_begins_anew(tmp_path: Path) -> None:
    keeper = Album(tmp_path / "states", dies_after=9)
    with pytest.raises(Killed):
        Run(tmp_path, "hashed")(1, keeper)
    keeper.dies_after = None
    run = Run(tmp_path)
    run(2, keeper)
    assert len(run.losses()) == STEPS
    assert len(keeper.refused) == 1
    assert "does not fit" in keeper.refused[0]


@pytest.mark.parametrize(
    ("accident", "error", "message"),
    [
        ("raise", RankError, r"process 2 of 2 \(cpu\): ZeroDivisionError: nothing to divide"),
        ("refuse", MethodError, "^this will not do$"),
        ("kill", MethodError, r"process 2 of 2 \(cpu\) was ended by signal 9 .* after: step 4 of 40"),
        ("exit", RankError, r"process 2 of 2 \(cpu\): SystemExit: no more"),
        ("end", MethodError, r"process 2 of 2 \(cpu\) ended with status 0 after: step 4 of 40"),
        ("hang", MethodError, r"process 2 of 2 \(cpu\) hangs: nothing was heard for 6 s after: step 4 of 40"),
        ("drift", MethodError, "no longer train the same diff after step 40"),
    ],
)
def test_whatever_ends_one_process_ends_the_training_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accident: str, error: type[Exception], message: str
) -> None:
    if accident == "hang":
        monkeypatch.setattr(ranks, "SILENT_SECONDS", 6)
    with pytest.raises(error, match=message) as caught:
        Run(tmp_path, find=partial(Faulty, accident))(2)
    assert multiprocessing.active_children() == []
    assert accident != "raise" or "meet_accident" in caught.value.__notes__[0], "its traceback"


@pytest.mark.parametrize("accident", ["none", "hang"])
def test_a_training_is_cancelled_between_steps_and_where_a_process_hangs(tmp_path: Path, accident: str) -> None:
    run = Run(tmp_path, find=partial(Faulty, accident))
    run.stops_at = 7 if accident == "none" else 4
    with pytest.raises(Cancelled, match=f"stopped at step {run.stops_at} of 40"):
        run(2)
    assert multiprocessing.active_children() == []


def test_more_processes_than_examples_of_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"3 processes cannot share batches of 2.*--set batch=3"):
        Run(tmp_path)(3, batch=2)


def test_one_accelerator_is_one_process() -> None:
    assert choose_accelerators("cpu") == ("cpu",)
    assert choose_accelerators("cpu,cpu") == ("cpu", "cpu")


@pytest.mark.parametrize("name", ["cpu,tpu", f"cuda:{torch.cuda.device_count()},cuda:0"])
def test_accelerators_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(MethodError, match="PyTorch finds no device"):
        choose_accelerators(name)


def test_an_accelerator_is_not_named_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_accelerators("cuda:all") == ("cuda:0", "cuda:1")
    with pytest.raises(MethodError, match="cuda:1 is named twice"):
        choose_accelerators("cuda:1,cuda:1")
