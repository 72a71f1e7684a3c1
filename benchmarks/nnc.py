"""Neural Network Coding (ISO/IEC 15938-17) by `nncodec`, at the same reconstruction as our payload.

Its input is the quantised difference in units of each tensor's step, with a quantisation step of 1; the steps are
counted as 4 bytes for each changed tensor, as in a payload.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np

from benchmarks import peers
from benchmarks.cases import Case
from diffclient.diff.streams import Sparse
from diffclient.tensors.snapshot import Array

NAME = "nncodec"
SETTINGS = "on the levels with step 1, which restores them exactly; plus 4 bytes for every tensor's step"
_SCRIPT = Path(__file__).with_name("nnc_script.py")


def missing() -> str | None:
    """Return why it cannot run here; None if it can."""
    return peers.lacks_module("nncodec.nn")


class Codec:
    """The codec in a process of its own, started on demand, since its imports take many seconds."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        if self._process:
            self._process.communicate()

    def size(self, case: Case) -> int | None:
        """Return the codec's bytes for a sparse case; None if it does not restore the levels."""
        with TemporaryDirectory() as name:
            source, target = Path(name) / "levels.npz", Path(name) / "levels.nnc"
            # Short names, since the bitstream contains them.
            tensors = {str(index): _dense(case, index) for index in range(len(case.table))}
            np.savez(source, allow_pickle=False, **tensors)
            if self._ask(f"{source} {target}\n") != "equal":
                return None
            return target.stat().st_size + 4 * sum(stream is not None for stream in case.diff.streams)

    def _ask(self, job: str) -> str:
        self._process = self._process or subprocess.Popen(
            [peers.python(), str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(job)
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def _dense(case: Case, index: int) -> Array:
    spec, stream = case.table[index], case.diff.streams[index]
    levels = np.zeros(spec.size, np.float32)
    if isinstance(stream, Sparse):
        levels[stream.positions] = stream.levels
    return levels.reshape(spec.shape)
