"""Reports of the errors that were counted in the field: one for each version and measure, once in a while."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from diffclient.errors import StoreError
from diffclient.measure.error_count import Errors
from diffclient.network.report import Report
from diffclient.store import field_counts
from diffclient.store.field_counts import FieldCount
from diffclient.store.state import State
from diffclient.store.store import Store

SPACING = 3600.0
"""Seconds between reports of a version and measure; what is counted meanwhile gathers."""


def gather(store: Store, state: State, spacing: float) -> State:
    """Return the state with reports of what gathered in the field, saved; the same state if it is not time yet.

    Whatever ends this early, each count is in exactly one report. A disk that refuses leaves them for the next time.
    """
    if any(report.stage == "field" for report in state.outbox) or not _due(state, spacing):
        return state
    with contextlib.suppress(StoreError):
        counts = field_counts.take(store.root)
        if counts:
            after = replace(state, field_at=int(time.time()))
            for count in counts:
                after = after.with_report(_report(count))
            store.save(after)
            state = after
        field_counts.told(store.root)
    return state


def _due(state: State, spacing: float) -> bool:
    # A clock that was set back must not silence a device.
    return state.field_at is None or abs(time.time() - state.field_at) >= spacing


def _report(count: FieldCount) -> Report:
    return Report(
        "field",
        to_digest=count.digest,
        measure=count.measure,
        errors=count.errors,
        total=count.total,
        error_rate_ppm=Errors(count.errors, count.total).error_rate_ppm,
        report_id=count.report_id,
        device_time=count.counted_at,
    )
