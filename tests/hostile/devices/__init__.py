"""Devices in real hands: drips, signals, disks that refuse, damaged diffs, wrong clocks, proxies."""
