"""`python -m diffclient` is the `diffclient` command."""

import sys

from diffclient.cli.main import main

sys.exit(main())
