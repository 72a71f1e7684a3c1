"""How a diff is trained, and the baselines."""
