"""What a domain of the reference corpus consists of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """One domain of the corpus: its folder's name, its templates, and the values of its `{new}` slot."""

    name: str
    templates: tuple[str, ...]
    new: tuple[str, ...] = ()
