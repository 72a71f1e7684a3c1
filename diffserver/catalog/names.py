"""Which names there can be: a model's, and those that people give to devices, tokens and domains.

A name outside its alphabet is refused, never mended. Channels and tasks are named as the API's fields say.
"""

import re
import unicodedata

from diffclient.errors import ManifestError
from diffclient.plain_text import plain
from diffclient.release.target_names import check_model
from diffserver.errors import Invalid

LONGEST = 100
ALPHABET = f"at most {LONGEST} letters and digits of any script, blanks and . _ - ' ( ) # + , & @, no sign first"
SIGNS = frozenset(" ._-'()#+,&@")


def require_model(name: str) -> None:
    """Raise Invalid unless a model can have this name: a role is called like its model."""
    try:
        check_model(name)
    except ManifestError as error:
        raise Invalid(str(error), "choose another name") from error


def require_name(name: str, of: str) -> None:
    """Raise Invalid unless a device, a token or a domain can have this name; `of` says which of them it is."""
    if not _is_name(name):
        raise Invalid(f"{plain(repr(name), 80)} cannot be the name of a {of}", f"use {ALPHABET}")


def _is_name(name: str) -> bool:
    # Marks stand above or below the letter before them: without them, many scripts can't be written.
    inside = all(char in SIGNS or unicodedata.category(char)[0] in "LMN" for char in name)
    return inside and bool(re.fullmatch(r"[^\W_].*\S|[^\W_]", name)) and len(name) <= LONGEST
