"""What stages hand on: tensors, tables, activations at one token, layer by layer, runs of other revisions."""
