"""Conversion factors. A bare 1000, 3600 or sqrt(3) anywhere else is a defect."""

import math

SQRT3 = math.sqrt(3.0)
KW_PER_MW = 1000.0
VOLTS_PER_KV = 1000.0
KWH_PER_MWH = 1000.0
A_PER_KA = 1000.0
KVA_PER_MVA = 1000.0
PERCENT = 100.0
SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24
