"""Commands for what devices get."""
