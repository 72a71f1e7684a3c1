"""The devices that a training may run on: the names that a request may give, and those that a machine has.

Pure: counting CUDA devices is left to torch.
"""

PATTERN = r"^(auto|cpu|cuda(:(0|[1-9][0-9]{0,2}))?)$"
"""The pattern of all names, whether this machine has such a device or not."""


def names(cuda_devices: int) -> tuple[str, ...]:
    """Return the names for a machine with this number of CUDA devices; `cuda` is torch's first one."""
    numbered = tuple(f"cuda:{number}" for number in range(cuda_devices))
    return ("auto", "cpu", *(("cuda", *numbered) if numbered else ()))
