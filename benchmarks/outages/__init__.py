"""Everything that the service is made of is killed in turn, under load; what was promised is counted afterwards."""
