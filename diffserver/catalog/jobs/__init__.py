"""What workers keep of trainings under way: states to go on from, and lines of their log."""
