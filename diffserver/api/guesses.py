"""Wrong tokens: an address that sends many has to wait between one and the next.

Each address has an allowance, which wrong tokens use up and time gives back. While none is left, no token of that
address is looked up but those that were right before, here and lately; a right one that is new is let in as soon as
time has given something back. Addresses and tokens are remembered in bounded memory, the latest ones, by each process
for itself. Which address a request comes from is the HTTP server's affair.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import TypeVar

from diffserver.errors import TooMany

Value = TypeVar("Value")

SECONDS_EACH = 3.0
"""After so long an address may send another wrong token."""

REMEMBERED = 10_000
"""Addresses, and tokens that were right."""


class Guesses:
    """The wrong tokens that each address has sent."""

    def __init__(self, allowance: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = allowance * SECONDS_EACH
        self._clock = clock
        self._paid: OrderedDict[str, float] = OrderedDict()
        """By address: when its allowance will be whole again."""
        self._right: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, address: str, digest: str) -> None:
        """Raise TooMany if a token, by its digest, is not to be looked up now."""
        with self._lock:
            owed = self._paid.get(_network(address), 0.0) - self._clock()
            if digest in self._right or owed + SECONDS_EACH <= self._longest:
                return
        raise TooMany("too many wrong tokens came from this address", ceil(owed + SECONDS_EACH - self._longest))

    def wrong(self, address: str, digest: str) -> None:
        """Count a token that is not valid, or no longer."""
        with self._lock:
            self._right.pop(digest, None)
            network = _network(address)
            whole = max(self._paid.get(network, 0.0), self._clock()) + SECONDS_EACH
            _remember(self._paid, network, min(whole, self._clock() + self._longest))

    def right(self, digest: str) -> None:
        """Remember a token that is valid."""
        with self._lock:
            _remember(self._right, digest, None)


def _network(address: str) -> str:
    """The address; of IPv6 the network, of which one host may have every address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _remember(known: OrderedDict[str, Value], key: str, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
