"""Checkpoints: weights trained elsewhere, and the diffs that lead to them."""
