"""Set functions: coverage, facility location, log-determinant, graph cut, a user's own; their compiled gains."""
