"""Upkeep: what is kept and what goes, what is damaged and what mends it."""
