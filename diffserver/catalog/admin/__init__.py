"""What admins change: devices, channels, and which models there are."""
