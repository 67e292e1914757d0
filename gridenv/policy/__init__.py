"""What a policy needs to run anywhere: the codec between physical values and vectors; imports no JAX."""
