"""Linear functions in a subspace that many tasks share."""
