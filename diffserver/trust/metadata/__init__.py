"""Rules of signed metadata, all pure."""
