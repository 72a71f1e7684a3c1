"""An updater and its transport, put together from a store, a policy and the options of a command."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

from diffclient.cli import output
from diffclient.cli.metered import metered
from diffclient.measure.probation import Score
from diffclient.network.device_api import Service
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Patience, Transport
from diffclient.store.policy import Policy
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH as METADATA
from diffclient.trust.verified_metadata import Trust
from diffclient.update.interrupt import StopSign
from diffclient.update.updater import Updater

ANSWER_WINDOWS = 10
"""How many times the policy's patience an answer may take in all, unless it is a blob."""


def make_updater(arguments: argparse.Namespace, store: Store, policy: Policy, stop: StopSign, score: Score) -> Updater:
    """Return what updates an enrolled store; raises NotEnrolled, StateError, StoreFailed."""
    enrolment, progress, transport = store.enrolment(), output.Progress(stop), make_transport(policy, stop.pause)
    bases = [enrolment.server, *policy.mirrors]
    return Updater(
        store,
        Service(transport, enrolment),
        Fetcher(transport, bases, store.downloads, progress.received),
        lambda: Trust(store.trust, [base + METADATA for base in bases], transport),
        policy,
        metered(getattr(arguments, "metered", False), getattr(arguments, "metered_check", None), policy.patience),
        score,
        progress.stage,
    )


def make_transport(policy: Policy, pause: Callable[[float], None] = time.sleep) -> Transport:
    """Return a transport with a policy's patience, proxy and certificates."""
    patience = Patience(
        connect_timeout=min(Patience.connect_timeout, policy.patience),
        read_timeout=policy.patience,
        least_bytes=math.ceil(policy.least_speed * policy.patience),
        answer_timeout=ANSWER_WINDOWS * policy.patience,
    )
    return Transport(patience, pause, policy.proxy, Path(policy.ca_file) if policy.ca_file else None)
