"""Lengths of time, as they are typed: 90m, 24h, 7d."""

import re

from diffserver.errors import Invalid

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int:
    """Return the seconds that a text as 24h, 90m or 7d says; raises Invalid."""
    parts = re.fullmatch(r"(\d{1,8})([smhd])", text)
    if parts is None:
        raise Invalid(f"{text!r} is no length of time", "give it as 90m, 24h or 7d")
    return int(parts[1]) * UNITS[parts[2]]
