"""A real S3 server in a process of its own: moto's, which holds buckets in memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

BUCKET = "objects"
START_SECONDS = 30.0


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Yield the address of a new server that has one empty bucket."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            url = _address(process, log)
            assert urllib3.request("PUT", f"{url}/{BUCKET}").status == 200
            yield url
        finally:
            process.terminate()


def environment(url: str) -> dict[str, str]:
    """What a process needs to know to use it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"Running on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()}")
