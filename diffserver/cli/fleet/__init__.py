"""Commands about a fleet: its devices, channels and models, and what operators did."""
