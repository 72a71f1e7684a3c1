"""Ways to run diffserver on one machine and on many."""
