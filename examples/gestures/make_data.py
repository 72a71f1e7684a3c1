"""Makes gestures: `python make_data.py FOLDER` writes a domain for the base and two for updates."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

READINGS = 32

DOMAINS = {
    "0-base": ("circle", "push", "raise", "shake", "swipe"),
    "1-wave": ("wave", "tap"),
    "2-twist": ("twist",),
}
COUNTS = {"train": 160, "test": 60}  # of each gesture


def motion(gesture: str, rng: np.random.Generator) -> Any:
    """An acceleration in g, `[3, READINGS]`: the gesture at some speed, strength, moment and slant, with noise."""
    time = np.linspace(0, 1, READINGS) * rng.uniform(0.85, 1.15) + rng.uniform(-0.05, 0.05)
    turn, still = 2 * np.pi * time, np.zeros(READINGS)
    bump = np.exp(-(((time - 0.5) / 0.15) ** 2))
    there_and_back = np.sin(turn) * np.exp(-(((time - 0.5) / 0.3) ** 2))
    axes = {
        "circle": (np.cos(turn), np.sin(turn), still),
        "push": (still, there_and_back, still),
        "raise": (still, still, bump),
        "shake": (np.sin(6 * turn), still, still),
        "swipe": (there_and_back, still, still),
        "tap": (still, still, 2 * np.exp(-(((time - 0.5) / 0.04) ** 2))),
        "twist": (np.cos(turn), still, np.sin(turn)),
        "wave": (np.sin(3 * turn), still, 0.5 * bump),
    }[gesture]
    slant = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    return rng.uniform(0.5, 1.5) * slant @ np.array(axes) + rng.normal(0, 0.3, (3, READINGS))


def main(folder: Path) -> None:
    """Write all domains."""
    for number, (domain, gestures) in enumerate(DOMAINS.items()):
        for split, count in COUNTS.items():
            rng = np.random.default_rng([number, split == "test"])
            drawn = [(gesture, motion(gesture, rng).round(3).tolist()) for gesture in gestures for _ in range(count)]
            lines = [json.dumps({"gesture": gesture, "motion": readings}) + "\n" for gesture, readings in drawn]
            path = folder / domain / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
