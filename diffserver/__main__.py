"""Run the command line as `python -m diffserver`."""

from diffserver.main import main

main()
