"""The training of diffs, and the baselines."""
