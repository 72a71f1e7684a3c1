"""The database's migrations, one file a revision; `diffserver migrate` runs them."""
