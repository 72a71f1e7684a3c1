"""Diffs as values, and their application to weights."""
