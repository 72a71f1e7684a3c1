"""The HTTP API: one module for each kind of caller or resource."""
