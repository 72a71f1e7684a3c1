"""What makes polls cheap: what a process remembers until it hears of a change, and what it writes together."""
