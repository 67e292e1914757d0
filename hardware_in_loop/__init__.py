"""The bridge from a trained policy to real registers over Modbus. Nothing here yet: the simulator comes first."""
