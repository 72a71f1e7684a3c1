"""Keeps a model on a device up to date with neural diffs: fetch, verify, apply, measure, switch.

The parts are imported from their own modules (`diffclient.updater`, `diffclient.store`, …), so that importing
the package costs nothing.
"""

__version__ = "0.1.0"
