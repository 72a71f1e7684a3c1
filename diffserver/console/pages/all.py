"""All pages, in the order of the navigation; the last one answers what no other does."""

from __future__ import annotations

from diffserver.console.pages import (
    assets,
    audit,
    candidates,
    devices,
    keys,
    models,
    nowhere,
    overview,
    rollouts,
    sign_in,
    tokens,
    trainings,
)

SEEN = (overview, models, rollouts, devices, trainings, candidates, audit, keys, tokens)
PAGES = (*SEEN, sign_in, assets, nowhere)
