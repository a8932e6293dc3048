"""What draws random numbers or tests: permutation, bootstrap, projections of the input, heads."""
