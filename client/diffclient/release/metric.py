"""The name of a model's error rate and of what it counts: words for people, which travel with its manifest."""

from __future__ import annotations

from dataclasses import dataclass

from diffclient.errors import ManifestError

LENGTH_LIMIT = 40


@dataclass(frozen=True)
class Metric:
    """The name of an error rate and what it counts, as in "WER" and "words"; raises ManifestError on odd ones."""

    name: str
    counts: str

    def __post_init__(self) -> None:
        for text in (self.name, self.counts):
            if not isinstance(text, str) or not 0 < len(text) <= LENGTH_LIMIT or not text.isprintable():
                raise ManifestError(
                    f"a metric's name and what it counts are texts of 1 to {LENGTH_LIMIT} printable characters"
                )
