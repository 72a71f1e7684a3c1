"""The search for a payload: which budget to try next, and which trial to keep. Pure rules."""
