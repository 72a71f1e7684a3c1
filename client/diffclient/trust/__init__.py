"""The Update Framework on this device."""
