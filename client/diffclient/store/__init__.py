"""The device's folder: slots, state, policy."""
