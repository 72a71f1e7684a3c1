"""The gate of a rollout: whether what devices report lets a version go on. Rules alone: nothing is read or written."""
