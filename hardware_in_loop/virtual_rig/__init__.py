"""A rig in software: the simulator of a task behind real Modbus servers; see docs/hil/emulator.md."""
