"""The command line that the public tuf-conformance suite drives: `diffclient tuf-conformance`, hidden from help.

    --metadata-dir D init ROOT
    --metadata-dir D --metadata-url U refresh
    --metadata-dir D --metadata-url U --target-name N … --target-base-url B --target-dir T download

Verification is left to the trust, the transport and the fetcher that an update uses.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from tuf.api.metadata import TargetFile

from diffclient import durable
from diffclient.cli import output
from diffclient.errors import DiffClientError, ManifestError, UnknownTarget
from diffclient.network.fetch import Fetcher, Source
from diffclient.network.transport import Transport
from diffclient.trust.verified_metadata import Trust, plant_root

_ALGORITHMS = ("sha256", "sha512")


def main(argv: Sequence[str]) -> int:
    """Run one command of the suite; return 0 where it succeeded and 1 where it did not."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.action == "init":
            plant_root(arguments.metadata_dir, arguments.root.read_bytes())
        else:
            _refresh(arguments)
    except DiffClientError as error:
        output.print_error(f"{type(error).__name__}: {output.error_line(error)}")
        return 1
    return 0


def _refresh(arguments: argparse.Namespace) -> None:
    transport = Transport()
    # Other repositories give their timestamps other lives.
    trust = Trust(arguments.metadata_dir, [arguments.metadata_url], transport, longest=None)
    trust.refresh()
    if arguments.action == "download":
        downloads = arguments.metadata_dir / "downloads"
        durable.make_folder(downloads)
        fetcher = Fetcher(transport, [], downloads)
        for name in arguments.target_name:
            _download(trust, fetcher, name, arguments)


def _download(trust: Trust, fetcher: Fetcher, name: str, arguments: argparse.Namespace) -> None:
    info = trust.info(name)
    if info is None:
        raise UnknownTarget(f"no signed metadata names {name}")
    algorithm, digest = _hash(info)
    # A name may be anything, also a path; a digest of it is a file's name everywhere.
    path = arguments.target_dir / hashlib.sha256(name.encode()).hexdigest()
    if path.exists() and durable.digest(path, algorithm) == digest:
        return
    folder, slash, last = name.rpartition("/")
    prefix = f"{digest}." if trust.prefixed else ""
    url = f"{arguments.target_base_url.rstrip('/')}/{folder}{slash}{prefix}{last}"
    fetcher.bring([Source(url, info.length, digest, algorithm)], path)


def _hash(info: TargetFile) -> tuple[str, str]:
    """Return a target's first hash of a supported algorithm: the algorithm and the hex digest; raises ManifestError."""
    known = [(name, info.hashes[name]) for name in _ALGORITHMS if name in info.hashes]
    if not known:
        raise ManifestError(f"{info.path}: none of its hashes is known here: {', '.join(info.hashes)}")
    return known[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("diffclient tuf-conformance", description=__doc__.partition("\n")[0])
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("action", choices=("init", "refresh", "download"))
    parser.add_argument("root", type=Path, nargs="?")
    return parser
