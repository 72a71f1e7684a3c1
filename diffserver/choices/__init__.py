"""What a training may be asked for, known without torch."""
