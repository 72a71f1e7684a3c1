"""`python -m diffclient` is the `diffclient` command."""

import sys

from diffclient.cli import main

sys.exit(main())
