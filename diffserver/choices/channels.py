"""Channels: the one that every model has, which devices follow unless they are told another."""

STABLE = "stable"
