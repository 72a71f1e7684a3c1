"""The worker's process, where training meets the database."""
