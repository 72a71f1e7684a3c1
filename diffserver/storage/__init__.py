"""The database with its tables, migrations and leases, and the object store."""
