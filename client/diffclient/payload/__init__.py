"""The `.ndiff` format, written and read (docs/format.md)."""
