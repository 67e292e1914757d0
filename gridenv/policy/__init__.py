"""What a policy needs to run anywhere: codec, bundle and runtime; imports no JAX."""
