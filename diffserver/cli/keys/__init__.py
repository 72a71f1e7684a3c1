"""Commands for keys, at the server and on the machines where keys are kept."""
