"""The definition of a domain of the reference corpus."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """A domain's folder name, its templates, and the values of its `{new}` slot."""

    name: str
    templates: tuple[str, ...]
    new: tuple[str, ...] = ()
