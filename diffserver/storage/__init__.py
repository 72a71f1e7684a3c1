"""Database, tables, object store."""
