"""The operator's commands, and the modules that they share."""
