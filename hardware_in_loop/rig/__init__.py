"""Rig files: the devices of a laboratory, and what the channels of a task are on them."""
