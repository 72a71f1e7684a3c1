"""Compare the tape with strace: run commands under both, and compare the calls that change files.

Without strace (Debian's package strace) or the permission to trace, the comparison is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.recording import recording
from tests.faults.tape import Tape

CALLS = {
    "write": "write", "pwrite64": "write", "writev": "write", "ftruncate": "truncate", "truncate": "truncate",
    "fsync": "sync", "fdatasync": "sync", "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "unlink": "unlink", "unlinkat": "unlink", "mkdir": "mkdir", "mkdirat": "mkdir", "rmdir": "rmdir",
    "link": "link", "linkat": "link", "symlink": "symlink", "symlinkat": "symlink", "open": "open", "openat": "open",
    "creat": "open", "fallocate": "other", "copy_file_range": "other", "sendfile": "other", "mmap": "mapped",
    "sync_file_range": "other", "sync": "other", "syncfs": "other",
}  # fmt: skip
"""System calls that change files, with the tape's names; `other`: calls that the tape does not see."""

_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
_DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")
_NAME = re.compile(r'"([^"]*)"')
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)")


def available() -> str:
    """Return why strace cannot be used; an empty string if it can."""
    if shutil.which("strace") is None:
        return "strace is missing: apt install strace"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"strace may not trace here: {done.stderr[:200]}"


def traced(device: Path, log: Path, *command: str) -> tuple[list[str], list[str]]:
    """Run a command of `diffclient` on a device under strace; return the operations of the tape and of strace.

    Each as lines `kind path`, paths below the device's folder.
    """
    names = ",".join(f"?{name}" for name in CALLS)
    tape = log.with_suffix(".tape")
    program = [sys.executable, "-m", "tests.faults.traced", str(device), str(tape), *command]
    subprocess.run(["strace", "-f", "-y", "-s", "4096", "-e", f"trace={names}", "-o", str(log), *program], check=True)
    return tape.read_text().splitlines(), calls(log.read_text(), device)


def calls(log: str, device: Path) -> list[str]:
    """Return the calls below a folder that change files, in order."""
    traced_calls = []
    for line in log.splitlines():
        if (match := _LINE.match(line)) and (seen := _change(match[1], match[2], device)):
            traced_calls.append(seen)
    return traced_calls


def _change(name: str, rest: str, device: Path) -> str:
    kind = CALLS.get(name, "")
    if not kind or (kind == "open" and not _WRITING.search(rest)):
        return ""
    if kind == "mapped":
        kind = "other" if "PROT_WRITE" in rest and "MAP_SHARED" in rest else ""
    if kind == "unlink" and "AT_REMOVEDIR" in rest:
        kind = "rmdir"
    path = _mapped(rest) if kind == "other" and name == "mmap" else _path(kind, rest)
    if not kind or not Path(path).is_relative_to(device):
        return ""
    return f"{kind} {Path(path).relative_to(device)}"


def _path(kind: str, rest: str) -> str:
    """Return a call's path: that of its descriptor, or the first one that it names."""
    folder = _DESCRIPTOR.match(rest)
    name = None if kind in ("write", "truncate", "sync") else _NAME.search(rest)
    return str(Path(folder[1] if folder else "", name[1] if name else ""))


def _mapped(rest: str) -> str:
    match = re.search(r"\d+<([^>]*)>", rest)
    return match[1] if match else ""


def main(device: Path, tape: Path, command: list[str]) -> int:
    """Run a command with a tape, and write the tape down."""
    from tests.faults.chain import do

    with recording(Tape(device)) as seen:
        code = do(command, device)
    lines = [f"{each.kind} {each.path}" for each in seen.operations if each.kind not in ("look", "receive")]
    tape.write_text("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
