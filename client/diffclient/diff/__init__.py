"""A diff as a value, and how it meets weights."""
