"""Diffs in a loop of one's own."""
