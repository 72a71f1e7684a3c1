"""Benchmarks of this project's claims about speed and size: `python -m benchmarks.<name> --help`."""
