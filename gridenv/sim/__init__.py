"""The grid in motion: model, state and the step."""
