"""The worker's process, which joins training and the database."""
