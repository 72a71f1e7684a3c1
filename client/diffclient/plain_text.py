"""Text that others wrote, made fit for terminals, logs and databases.

What cannot be printed becomes a question mark: control characters, C1 ones too, what turns the direction of text, line
ends, lone surrogates. Where such text is stored or printed is left to others.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with a question mark in place of each character that does not show as itself."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def plain(text: str, limit: int) -> str:
    """Return a message as one printable line, its white space single blanks, cut to `limit` characters."""
    return printable(" ".join(text.split()))[:limit]
