"""A worker that meets its end at one point of the code: `python -m tests.hostile.doomed_worker POINT ACT words…`.

A point is `module:function@n`: the n-th call of that function in this process, before it or, with a `!`, after it.
The act is `kill` (as `kill -9` does), `stop` (as a machine that sleeps) or `hang`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from typing import Any

from diffserver.main import main

HANG_SECONDS = 600.0

HANGS = "hangs"
"""What it prints before it hangs."""


def _hang() -> None:
    print(HANGS, flush=True)
    time.sleep(HANG_SECONDS)


ACTS: dict[str, Callable[[], object]] = {
    "kill": partial(os.kill, os.getpid(), signal.SIGKILL),
    "stop": partial(os.kill, os.getpid(), signal.SIGSTOP),
    "hang": _hang,
}


def doom(point: str, act: Callable[[], object]) -> None:
    """Have a call of a function end in an act."""
    name, _, number = point.rstrip("!").partition("@")
    module, _, path = name.partition(":")
    *owners, attribute = path.split(".")
    place: Any = import_module(module)
    for owner in owners:
        place = getattr(place, owner)
    function, left = getattr(place, attribute), [int(number)]

    @wraps(function)
    def watched(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not point.endswith("!"):
            act()
        result = function(*args, **options)
        if left[0] == 0 and point.endswith("!"):
            act()
        return result

    setattr(place, attribute, watched)


if __name__ == "__main__":
    place, act = sys.argv[1:3]
    sys.argv[1:] = sys.argv[3:]
    doom(place, ACTS[act])
    main()
