"""Weights: their grids, tensor tables and snapshot files."""
