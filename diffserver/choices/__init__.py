"""The choices that a request for a training has, known without torch."""
