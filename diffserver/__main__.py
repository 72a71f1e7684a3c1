"""`python -m diffserver` is the command line."""

from diffserver.cli import main

main()
