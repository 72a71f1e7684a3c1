"""A script for the peers' interpreter, which has nncodec and not this project: read jobs, a line "IN.npz OUT" each.

IN holds levels as fp32 tensors. They are coded with step 1 and without dependent quantisation, so that decoding gives
them back exactly; whatever else the codec decides for itself is left at its defaults. Answers each job with a line,
"equal" or "different".
"""

import os
import sys
from pathlib import Path

import numpy as np
from nncodec.nn import decode, encode


def code(source: Path, target: Path) -> bool:
    """Write the bitstream of the tensors in `source` to `target`; tell whether decoding restores them."""
    with np.load(source) as arrays:
        tensors = dict(arrays)
    # A quantisation parameter of 0 is a step of 1. The codec writes its bitstream into a folder as well.
    settings = {"qp": 0, "nonweight_qp": 0, "use_dq": False, "verbose": False, "results": str(target.parent)}
    stream = bytes(encode(tensors, args=settings))
    target.write_bytes(stream)
    back = decode(bytearray(stream))
    return all(np.array_equal(tensors[name], np.asarray(back[name]).reshape(tensors[name].shape)) for name in tensors)


# What the codec prints goes to stderr, so that answers stand alone.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    print("equal" if code(*map(Path, line.split())) else "different", file=answers, flush=True)
