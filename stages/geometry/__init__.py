"""Pure array functions: word pairs and masks, similarity, comparison of geometries, effect sizes, findings."""
