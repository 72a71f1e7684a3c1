"""The whole topology on one machine's loopback, from Debian's packages, without an engine for containers."""
