"""What learners on torch share: random generators of a training, and policies as our own networks."""
