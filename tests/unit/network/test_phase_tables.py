import numpy as np
import pytest

from gridenv.core.units import F_PER_NF, KVAR_PER_MVAR, KVAR_PER_S_KV2, PPM, S_PER_US
from gridenv.network.phase_tables import WindingTable, table_of


def test_table_of_rows_takes_columns_defaults_and_given_columns():
    rows = [{"id": "a", "v_kv": 1, "s_kva": 5.0, "note": "no column"}, {"id": "b", "v_kv": 2, "s_kva": 6.0, "note": ""}]
    table = table_of(WindingTable, rows, bus=("x", "y"), s_kva=np.array([7.0, 8.0]))
    assert (table.id, table.bus) == (("a", "b"), ("x", "y"))
    np.testing.assert_array_equal([table.v_kv, table.s_kva, table.tap], [[1.0, 2.0], [7.0, 8.0], [1.0, 1.0]])
    assert table.v_kv.dtype == float
    assert len(table_of(WindingTable, [])) == 0


def test_small_units_are_powers_of_ten():
    assert (F_PER_NF, S_PER_US, PPM, KVAR_PER_MVAR) == (1e-9, 1e-6, 1e-6, 1e3)
    # 1 S at 1 kV carries (1000 V)^2 * 1 S = 1e6 var.
    assert pytest.approx(1000.0**2 / 1000.0) == KVAR_PER_S_KV2
