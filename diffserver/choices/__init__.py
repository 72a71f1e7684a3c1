"""The choices in a request for a training: methods, hardware, delivery. Needs no torch."""
