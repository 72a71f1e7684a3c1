"""The devices that a training may run on: the names that a request may give, and those that a machine has.

Pure: counting CUDA devices is left to torch.
"""

ALL = "cuda:all"

_NUMBERED = r"cuda:(0|[1-9][0-9]{0,2})"
PATTERN = rf"^(auto|cpu(,cpu){{0,63}}|cuda|{ALL}|{_NUMBERED}(,{_NUMBERED}){{0,63}})$"
"""The pattern of all names, whether this machine has such a device or not."""


def names(cuda_devices: int) -> tuple[str, ...]:
    """Return the names for a machine with this number of CUDA devices; `cuda` is torch's first one."""
    numbered = tuple(f"cuda:{number}" for number in range(cuda_devices))
    return ("auto", "cpu", *(("cuda", *numbered) if numbered else ()))


def listed(name: str, cuda_devices: int) -> tuple[str, ...]:
    """Return the devices that a name lists, one for each process; of `cuda:all` every one of this machine."""
    if name == ALL and cuda_devices:
        return tuple(f"cuda:{number}" for number in range(cuda_devices))
    return tuple(name.split(","))
