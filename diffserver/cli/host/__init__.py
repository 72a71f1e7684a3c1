"""Commands for the server's machine."""
