"""The database's migrations, one file for each revision; `diffserver migrate` runs them."""
