"""`python -m diffserver` is the command line."""

from diffserver.main import main

main()
