"""The endpoints, a module a topic."""
