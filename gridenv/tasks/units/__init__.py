"""What a task can contain: each kind of unit with its settings, its place in the network, actions and observations."""
