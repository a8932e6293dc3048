"""Pure array functions: word pairs and masks, similarity, comparison, effect sizes, single words and units, maps."""
