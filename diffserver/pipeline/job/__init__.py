"""What a worker does around a training: keeps its lease, its log, its saved states and its files."""
