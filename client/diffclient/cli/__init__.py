"""The `diffclient` command."""
