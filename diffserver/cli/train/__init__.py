"""Commands that train, enter checkpoints or compare methods."""
