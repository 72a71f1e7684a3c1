"""What breaks in real hands: slow networks, full disks, dead processes, hostile text, damaged objects."""
