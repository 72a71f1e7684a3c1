"""Probation: the model on the probe set."""
