"""Control of a rig: supervisor, states, loop, recorder, commissioning. Knows devices by channel, imports no JAX."""
