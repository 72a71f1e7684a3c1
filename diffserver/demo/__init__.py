"""The demo: train a base, publish updates to simulated devices, and report."""
