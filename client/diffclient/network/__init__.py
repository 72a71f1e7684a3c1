"""HTTP: fetches, polls, reports."""
