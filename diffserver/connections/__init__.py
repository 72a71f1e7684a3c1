"""Connections: what a peer may take of the server's time and files, whatever it sends."""
