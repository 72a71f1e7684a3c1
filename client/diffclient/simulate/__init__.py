"""A fleet on one machine: devices with a store each, and devices that only speak the protocol."""
