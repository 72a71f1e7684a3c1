"""What signed metadata says of a version."""
