"""Manifests, and the names and custom fields of signed targets."""
