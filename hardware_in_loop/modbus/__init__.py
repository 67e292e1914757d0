"""Modbus: a strict server, a client that trusts no reply, and the link of a rig; see docs/hil/register_maps.md."""
