"""The devices that a training may run on: the names that a request gives, and those that a machine has.

Pure: how many CUDA devices there are, torch says.
"""

PATTERN = r"^(auto|cpu|cuda(:(0|[1-9][0-9]{0,2}))?)$"
"""What can be the name of something on some machine."""


def names(cuda_devices: int) -> tuple[str, ...]:
    """Return what may be asked for on a machine with so many CUDA devices; `cuda` is the one that torch takes first."""
    numbered = tuple(f"cuda:{number}" for number in range(cuda_devices))
    return ("auto", "cpu", *(("cuda", *numbered) if numbered else ()))
