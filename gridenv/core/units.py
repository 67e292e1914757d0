"""Conversion factors. A bare 1000, 3600 or sqrt(3) anywhere else is a defect."""

import math

SQRT3 = math.sqrt(3.0)
KW_PER_MW = 1000.0
W_PER_KW = 1000.0
VOLTS_PER_KV = 1000.0
KWH_PER_MWH = 1000.0
A_PER_KA = 1000.0
KVA_PER_MVA = 1000.0
KVAR_PER_MVAR = 1000.0
KVAR_PER_S_KV2 = 1000.0
"""kV squared times siemens is Mvar."""
F_PER_NF = 1e-9
S_PER_US = 1e-6
PERCENT = 100.0
PPM = 1e-6
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_MINUTE = 60.0
HOURS_PER_DAY = 24
