"""A server that trains neural diffs against the devices' model, stores them as versions and serves payloads."""

__version__ = "0.1.0"
