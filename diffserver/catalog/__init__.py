"""Models, versions, jobs, devices: the rules, each in the caller's transaction."""
