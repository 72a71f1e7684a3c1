"""Train diffs in a loop of one's own, and handle their files, without a server: docs/your-own-loop.md.

Needs torch, numpy and the client. Trainers' callbacks are in `transformers_trainer` and `lightning_trainer`.
"""

from diffserver.checkpoints.diff_files import About, NotTrained, apply, encode, inspect
from diffserver.diffs.int8_linear import Int8Linear, to_int8
from diffserver.diffs.make import hashed, snapshot, sparse
from diffserver.diffs.trained_diff import TrainedDiff
from diffserver.methods.hashed import HashedSchedule
from diffserver.methods.method import MethodError
from diffserver.methods.parametrised import LoopError
from diffserver.methods.sparse import SparseSchedule

__all__ = [
    "About", "HashedSchedule", "Int8Linear", "LoopError", "MethodError", "NotTrained", "SparseSchedule", "TrainedDiff",
    "apply", "encode", "hashed", "inspect", "snapshot", "sparse", "to_int8",
]  # fmt: skip
