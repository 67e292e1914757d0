"""Control tasks and the functional environment around them."""
