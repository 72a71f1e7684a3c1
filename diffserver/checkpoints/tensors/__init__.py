"""One tensor of a checkpoint, part by part: read, entered into a grid, compared, taken off its grid."""
