"""Pure functions of tensors: neither PyG nor files, shared by models and exported ones."""
