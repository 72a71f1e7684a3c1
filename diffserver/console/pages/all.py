"""All pages, in the order of the navigation; the last one answers what no other does."""

from __future__ import annotations

from diffserver.console.pages import assets, candidates, models, nowhere, overview, sign_in

PAGES = (overview, models, candidates, sign_in, assets, nowhere)
