"""Trains neural diffs against the model that devices hold, stores them as versions and serves payloads."""

__version__ = "0.1.0"
