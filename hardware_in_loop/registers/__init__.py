"""Registers of devices as named points: data types, maps, requests, SunSpec models; see docs/hil/register_maps.md."""

from hardware_in_loop.registers.codec import ByteOrder, DataType
from hardware_in_loop.registers.maps import RegisterMap
from hardware_in_loop.registers.points import Point, Table

__all__ = ["ByteOrder", "DataType", "Point", "RegisterMap", "Table"]
