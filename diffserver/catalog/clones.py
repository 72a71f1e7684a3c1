"""Clones: whether two machines use one device's identity, told by the boot ids that they say. Pure.

A machine has another boot id after each start, and never one of before. So one that comes back after another was seen
is a second machine's, as where a disk was copied with its token in it. There may be false alarms, as of a machine that
was brought back to a moment before its last start; so nothing follows but that it is shown, and that the device's row
keeps to one of the two.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

SHOWN_FOR = timedelta(days=1)
"""Clones that were seen last so long ago are clones no longer: one has enrolled by itself, or is gone."""

SILENT_FOR = timedelta(hours=1)
"""After so long without a word, the machine that a row tells of gives way to the other."""


@dataclass(frozen=True)
class Boots:
    """The boot id of the machine that a device's row tells of, the one before it, and when clones were seen last."""

    boot: str | None = None
    former_boot: str | None = None
    cloned_at: datetime | None = None


def are_clones(cloned_at: datetime | None, moment: datetime) -> bool:
    """Tell whether two machines used one identity lately."""
    return cloned_at is not None and moment - cloned_at < SHOWN_FOR


def after(
    known: Boots, said: str | None, last_seen: datetime | None, moment: datetime, silent_for: timedelta = SILENT_FOR
) -> tuple[Boots, bool]:
    """Return what is known once a machine has said its boot id, and whether the row tells of that machine.

    `last_seen` is when the machine was that the row tells of. A client of before says no boot id, and is believed.
    """
    if said is None or said == known.boot:
        return known, True
    back_again = said == known.former_boot
    cloned_at = moment if back_again else known.cloned_at
    silent = last_seen is None or moment - last_seen > silent_for
    if silent or not are_clones(cloned_at, moment):
        return Boots(said, known.boot, cloned_at), True
    return Boots(known.boot, known.former_boot, cloned_at), False
