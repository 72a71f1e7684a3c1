"""The operator's commands, and what they share."""
