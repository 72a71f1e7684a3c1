"""All pages, in the order of the navigation; the last one answers what no other does."""

from __future__ import annotations

from diffserver.console.pages import assets, devices, nowhere, overview, rollouts, sign_in

PAGES = (overview, rollouts, devices, sign_in, assets, nowhere)
