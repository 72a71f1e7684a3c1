"""Rollouts: a version's way through a channel in stages, and so which version each device shall run."""
