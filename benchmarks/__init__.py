"""What this project claims about speed and size, measured: `python -m benchmarks.<name> --help`."""
