"""Devices by the SHA-256 of their tokens, so that knowing one needs no query; in bounded memory, the latest ones.

Each takes some 220 bytes, packed so that the interpreter has no objects of them to look after. Whether what is
remembered still holds is `memory`'s affair.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Hashable
from dataclasses import dataclass

from diffclient.network.holding import Holding

_FORM = struct.Struct("<qIq32s")


@dataclass(frozen=True)
class Known:
    """A device whose token is valid: its token's number, its channel, and what its row says that it said last."""

    token: int
    device: str
    model: str
    channel: str
    said: int
    attributes: frozenset[tuple[str, str]] = frozenset()


def said(holding: Holding, client: str, boot: str | None) -> int:
    """Return what a device says as a number, the same for the same in this process, and as good as never for others."""
    return hash((holding.digest, holding.previous, holding.stage, client, boot))


class Credentials:
    """So many devices at least, and up to twice as many: those that were asked for last."""

    def __init__(self, most: int) -> None:
        self._most, self._lock, self._forgotten = most, threading.Lock(), 0
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._numbered: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, digest: str) -> Known | None:
        """Return the device of a token, by its SHA-256 in hex, if it is remembered."""
        key = bytes.fromhex(digest)
        with self._lock:
            packed = self._young.get(key)
            if packed is None:
                packed = self._old.get(key)
                if packed is None:
                    return None
                self._insert(key, packed)
        return self._unpacked(packed)

    def mark(self) -> Hashable:
        """Return a mark of this moment, to be taken before a device is read that is to be put."""
        return self._forgotten

    def put(self, digest: str, known: Known, mark: Hashable) -> None:
        """Remember a device, unless something was forgotten since the mark: what was read may be older than that."""
        packed = self._packed(known)
        with self._lock:
            if mark == self._forgotten:
                self._insert(bytes.fromhex(digest), packed)

    def forget(self, digest: str | None = None) -> None:
        """Forget the device of a token; without one, all of them."""
        with self._lock:
            self._forgotten += 1
            if digest is None:
                self._young, self._old = {}, {}
            else:
                for devices in (self._young, self._old):
                    devices.pop(bytes.fromhex(digest), None)

    def _insert(self, key: bytes, packed: bytes) -> None:
        if len(self._young) >= self._most:
            self._young, self._old = {}, self._young
        self._young[key] = packed

    def _packed(self, known: Known) -> bytes:
        with self._lock:
            channel = (known.model, known.channel)
            number = self._channels.setdefault(channel, len(self._numbered))
            if number == len(self._numbered):
                self._numbered.append(channel)
        attributes = json.dumps(sorted(known.attributes)).encode() if known.attributes else b""
        return _FORM.pack(known.token, number, known.said, known.device.encode()) + attributes

    def _unpacked(self, packed: bytes) -> Known:
        token, number, last, device = _FORM.unpack_from(packed)
        attributes = packed[_FORM.size :]
        named = frozenset((name, value) for name, value in json.loads(attributes)) if attributes else frozenset()
        model, channel = self._numbered[number]
        return Known(token, device.rstrip(b"\0").decode(), model, channel, last, named)
