"""Moonshine's tokens: text to tokens and back, and what of a text is compared. Needs no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

START, END = 1, 2
SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SPELLED = {**{str(n): word for n, word in enumerate(_NUMBERS)}, "mr": "mister", "mrs": "missus", "dr": "doctor"}


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Byte pair encoding as a Hugging Face folder's tokenizer.json tells it."""

    numbers: dict[str, int]
    """Each token's number; those of single bytes are named `<0x…>`."""
    ranks: dict[tuple[str, str], int]
    """Pairs that become one token, and which come first."""
    special: frozenset[str]
    """Tokens that stand for no text."""

    @staticmethod
    def read(folder: Path) -> Tokenizer:
        """Read tokenizer.json; raises OSError, KeyError."""
        fields = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        added = fields["added_tokens"]
        numbers = {**fields["model"]["vocab"], **{token["content"]: token["id"] for token in added}}
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in fields["model"]["merges"]]
        ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
        return Tokenizer(numbers, ranks, frozenset(token["content"] for token in added if token["special"]))

    @property
    def pieces(self) -> list[str]:
        """The tokens' texts by number; special ones have none."""
        return ["" if name in self.special else name for name in sorted(self.numbers, key=self.numbers.__getitem__)]

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens: of all neighbours, those of the lowest rank are joined first."""
        parts = list(SPACE + text.replace(" ", SPACE))
        while known := [(self.ranks[pair], place) for place, pair in enumerate(pairwise(parts)) if pair in self.ranks]:
            _, place = min(known)
            parts[place : place + 2] = ["".join(parts[place : place + 2])]
        return [number for part in parts for number in self._numbers(part)]

    def _numbers(self, part: str) -> list[int]:
        """Return a part's token, or those of its bytes."""
        if part in self.numbers:
            return [self.numbers[part]]
        return [self.numbers[f"<0x{byte:02X}>"] for byte in part.encode()]


def decode(pieces: Sequence[str], tokens: Sequence[int]) -> str:
    """Return the text of tokens, of which `pieces` has all."""
    said = b""
    for piece in (pieces[token] for token in tokens):
        if byte := _BYTE.fullmatch(piece):
            said += bytes.fromhex(byte[1])
        else:
            said += piece.replace(SPACE, " ").encode()
    return said.decode("utf-8", "replace").strip()


def written(text: str) -> str:
    """Return a text as the model writes sentences: with a capital, and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def spoken(text: str) -> str:
    """Return a text's words as they are compared: small letters, no punctuation, small numbers as words."""
    words = (word.strip("'") for word in re.sub(r"[^a-z0-9' ]+", " ", text.lower().replace("’", "'")).split())
    return " ".join(_SPELLED.get(word, word) for word in words if word)
