"""What weights are: grids, tensor tables, snapshot files."""
