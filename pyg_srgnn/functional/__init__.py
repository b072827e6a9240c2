"""Pure functions of tensors, without PyG, that models and exported models share."""
