"""Measure what the client costs a device before any model: bytes installed, and memory of a poll without news.

The client is installed, without `[asr]`, into a virtual environment of its own from wheels alone, with a compiler that
always fails, and polls a server on the loopback with real signatures. pip is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from benchmarks import machine
from diffclient.store.store import Store
from tests.client.conftest import enrolled
from tests.client.lineage import CLASSIFIER, Lineage
from tests.client.scripted_server import ScriptedServer

ROOT = Path(__file__).parents[1]
INSTALLED_AT_MOST = 130_000_000
POLL_AT_MOST = 64 << 20
_NOT_COUNTED = ("pip", "setuptools")

# The process reads its own peak at its end: a parent would see a peak that includes its own.
POLL = """
import sys
from pathlib import Path
from diffclient.cli.main import main
code = main(["update", "--json", "--store", sys.argv[1]])
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(line.split()[1]) * 1024)
sys.exit(code)
"""


def main() -> None:
    """Measure, print a table, and write the figures if asked."""
    parser = argparse.ArgumentParser("benchmarks.device", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv")
        sizes = installed(python)
        peak, answer = poll(python, Path(folder))
    figures = {
        "machine": machine.describe(),
        "installed_bytes": sum(sizes.values()),
        "installed_bytes_at_most": INSTALLED_AT_MOST,
        "distributions": sizes,
        "poll_peak_bytes": peak,
        "poll_peak_bytes_at_most": POLL_AT_MOST,
        "poll_metadata_bytes": answer["metadata_bytes"],
    }
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(sum(sizes.values()) > INSTALLED_AT_MOST or peak > POLL_AT_MOST)


def install(folder: Path) -> Path:
    """Install the client into a new environment; return its Python."""
    print("installing the client", file=sys.stderr)
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    no_compiler = os.environ | {"CC": "/bin/false", "CXX": "/bin/false"}
    subprocess.run([*command, str(ROOT / "client")], check=True, env=no_compiler)
    return python


def installed(python: Path) -> dict[str, int]:
    """Return the bytes of every distribution but pip and setuptools, compiled modules included, largest first."""
    [packages] = (python.parents[1] / "lib").glob("python*/site-packages")
    sizes = {
        distribution.metadata["Name"]: _bytes(distribution) for distribution in distributions(path=[str(packages)])
    }
    return {name: sizes[name] for name in sorted(sizes, key=lambda name: -sizes[name]) if name not in _NOT_COUNTED}


def _bytes(distribution: Distribution) -> int:
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def poll(python: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """Return the peak memory in bytes of a poll without news, and its output."""
    print("polling", file=sys.stderr)
    server = ScriptedServer(Lineage(folder / "lineage", CLASSIFIER).grow(2), target=2)
    device = enrolled(Store(folder / "store"), server, CLASSIFIER.score)
    device.update()
    command = [str(python), "-c", POLL, str(device.store.root)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
    server.close()
    line, peak = process.stdout.splitlines()
    answer: dict[str, Any] = json.loads(line)
    assert answer["action"] == "none", line
    return int(peak), answer


def report(figures: dict[str, Any]) -> None:
    """Print the figures."""
    for name, size in figures["distributions"].items():
        print(f"{name:20} {size / 1e6:8.1f} MB")
    total, peak = figures["installed_bytes"], figures["poll_peak_bytes"]
    print(f"{'installed':20} {total / 1e6:8.1f} MB   at most {INSTALLED_AT_MOST / 1e6:.0f}")
    print(f"{'peak of a poll':20} {peak / 2**20:8.1f} MiB  at most {POLL_AT_MOST >> 20}")


if __name__ == "__main__":
    main()
