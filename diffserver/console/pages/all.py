"""All pages, in the order of the navigation; the last one answers what no other does."""

from __future__ import annotations

from diffserver.console.pages import (
    assets,
    audit,
    candidates,
    keys,
    models,
    nowhere,
    overview,
    sign_in,
    tokens,
    trainings,
)

PAGES = (overview, models, candidates, trainings, audit, keys, tokens, sign_in, assets, nowhere)
