"""Attacks on a device, by what the attacker holds: each ends in its own typed error, with nothing changed."""
