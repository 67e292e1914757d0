"""Units, errors, channels, registries and configuration: what every other part stands on; imports no JAX."""
