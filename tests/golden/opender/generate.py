"""Draw inverter settings, run EPRI's OpenDER on them and record what it delivers.

    pip install opender==2.2.0
    python generate.py

Writes `steady.npz`, `response.npz` and `provenance.json` beside this file. Settings are whole multiples of `UNIT`, so
that both sides compute from the same numbers; powers are shares of the apparent-power rating unless said otherwise.
"""

import copy
import datetime
import importlib.metadata
import json
import logging
from pathlib import Path

import numpy as np
from opender import DER, DER_PV, DERCommonFileFormat

HERE = Path(__file__).parent
SEED = 20240917
N_STEADY = 10_100
N_SERIES = 24
N_SECONDS = 180
SAMPLES_PER_SECOND = 20
KEPT_EVERY = 10
S_VA = 100e3
UNIT = 5e-5
SNAPSHOT_S = 100_000
MODES = ("constant_pf", "constant_q", "volt_var", "watt_var")
ENABLE = ("CONST_PF_MODE_ENABLE", "CONST_Q_MODE_ENABLE", "QV_MODE_ENABLE", "QP_MODE_ENABLE")
QV_V = [f"QV_CURVE_V{i}" for i in (1, 2, 3, 4)]
QV_Q = [f"QV_CURVE_Q{i}" for i in (1, 2, 3, 4)]
QP_P = [f"QP_CURVE_P{i}_GEN" for i in (1, 2, 3)]
QP_Q = [f"QP_CURVE_Q{i}_GEN" for i in (1, 2, 3)]


def on_grid(value):
    """The nearest multiple of UNIT."""
    return np.round(np.asarray(value) / UNIT) * UNIT


def off_corner(value):
    """The nearest odd multiple of UNIT: not at the corners of the capability, at 5 % and 20 % of rated active power."""
    return (2 * np.floor(np.asarray(value) / (2 * UNIT)) + 1) * UNIT


def draw(rng):
    """Settings of one inverter as numbers; a curve of None is the default of OpenDER for the category."""
    is_b = rng.random() < 0.5
    one = rng.uniform
    inject, absorb = one(0.44, 0.95), one(0.44 if is_b else 0.25, 0.95)
    if rng.random() < 0.5:
        inject, absorb = 0.44, 0.44 if is_b else 0.25
    v2, v3 = one(0.97, 1.0), one(1.0, 1.03)
    p2 = one(0.4, 0.8)
    v1_watt = one(1.05, 1.085)
    is_default = rng.random() < 0.25
    return {
        "mode": int(rng.integers(4)),
        "is_b": int(is_b),
        "has_q_priority": int(rng.random() < 0.5),
        "has_q_at_night": int(rng.random() < 0.3),
        "p_rated": float(on_grid(1.0 if rng.random() < 0.3 else one(0.6, 1.0))),
        "q_inject_max": float(on_grid(inject)),
        "q_absorb_max": float(on_grid(absorb)),
        "power_factor": float(on_grid(one(0.5, 1.0) if rng.random() < 0.3 else one(0.85, 1.0))),
        "is_absorbing": int(rng.random() < 0.5),
        "q_set": float(on_grid(one(-absorb, inject))),
        "is_default": int(is_default),
        "qv_v": None if is_default else on_grid([one(0.82, v2 - 0.02), v2, v3, one(v3 + 0.02, 1.18)]),
        "qv_q": None if is_default else on_grid([one(0, inject), *np.sort(one(-0.2, 0.2, 2))[::-1], -one(0, absorb)]),
        "qp_p": None if is_default else on_grid([one(0.05, p2 - 0.1), p2, one(p2 + 0.1, 1.0)]),
        "qp_q": None if is_default else on_grid(np.sort(one(0, 1, 3)) * (inject if rng.random() < 0.5 else -absorb)),
        "has_volt_watt": int(rng.random() < 0.5),
        "pv_v": None if is_default else on_grid([v1_watt, one(v1_watt + 0.01, 1.1)]),
        "pv_p": None if is_default else on_grid([1.0, one(0, 1)]),
    }


def set_curve(file, names, values):
    """Set points, or read the default ones where values is None; the points as an array."""
    if values is not None:
        for name, value in zip(names, values, strict=True):
            setattr(file, name, float(value))
    return np.array([getattr(file, name) for name in names], float)


def apply(template, s):
    """An OpenDER inverter with the settings, and the settings with OpenDER's default curves filled in."""
    file = copy.deepcopy(template)
    file.NP_NORMAL_OP_CAT = "CAT_B" if s["is_b"] else "CAT_A"
    file.NP_VA_MAX, file.NP_P_MAX = S_VA, s["p_rated"] * S_VA
    file.NP_Q_MAX_INJ, file.NP_Q_MAX_ABS = s["q_inject_max"] * S_VA, s["q_absorb_max"] * S_VA
    file.NP_Q_CAPABILITY_LOW_P = "SAME" if s["has_q_at_night"] else "REDUCED"
    file.initialize_NP_Q_CAPABILTY_BY_P_CURVE()
    file.NP_PRIO_OUTSIDE_MIN_Q_REQ = "REACTIVE" if s["has_q_priority"] else "ACTIVE"
    setattr(file, ENABLE[s["mode"]], True)
    file.CONST_PF, file.CONST_PF_EXCITATION = s["power_factor"], "ABS" if s["is_absorbing"] else "INJ"
    file.CONST_Q = s["q_set"]
    file.PV_MODE_ENABLE = bool(s["has_volt_watt"])
    s = dict(s)
    for key, names in (("qv_v", QV_V), ("qv_q", QV_Q), ("qp_p", QP_P), ("qp_q", QP_Q)):
        s[key] = set_curve(file, names, s[key])
    s["pv_v"] = set_curve(file, ["PV_CURVE_V1", "PV_CURVE_V2"], s["pv_v"])
    s["pv_p"] = set_curve(file, ["PV_CURVE_P1", "PV_CURVE_P2"], s["pv_p"])
    # No power is drawn here, so the curve for consumption must only continue the other one to zero.
    file.QP_CURVE_P1_LOAD, file.QP_CURVE_Q1_LOAD = 0.0, float(s["qp_q"][0])
    return file, s


def steady(template, rng):
    """Settings in operating points of their own, settled."""
    DER.t_s = SNAPSHOT_S
    rows = []
    for _ in range(N_STEADY):
        file, s = apply(template, draw(rng))
        s["v"] = float(on_grid(rng.uniform(0.885, 1.0995)))
        s["p_dc"] = float(off_corner(rng.uniform(0, 0.25) if rng.random() < 0.2 else rng.uniform(0.2, 1.15)))
        s["p_limit"] = float(off_corner(rng.uniform(0, 0.9999)))
        s["has_p_limit"] = int(rng.random() < 0.3)
        file.AP_LIMIT, file.AP_LIMIT_ENABLE = s["p_limit"], bool(s["has_p_limit"])
        der = DER_PV(file)
        der.update_der_input(f=60, v_pu=s["v"], p_dc_w=s["p_dc"] * S_VA * s["p_rated"])
        der.run()
        s["p_out"], s["q_out"] = der.p_out_w / S_VA, der.q_out_var / S_VA
        s["p_wanted"] = der.p_desired_pu
        rows.append(s)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def response(template, rng):
    """Inverters over three minutes of changing voltage and available power, each constant within a second."""
    DER.t_s = 1 / SAMPLES_PER_SECOND
    rows = []
    for i in range(N_SERIES):
        s = draw(rng) | {"mode": i % 4, "has_q_priority": 1, "has_volt_watt": (i // 4) % 2}
        file, s = apply(template, s)
        s["q_response_s"], s["pv_response_s"] = float(on_grid(rng.uniform(2, 10))), float(on_grid(rng.uniform(2, 30)))
        file.QV_OLRT = file.CONST_PF_RT = file.CONST_Q_RT = file.QP_RT = s["q_response_s"]
        file.PV_OLRT, file.NP_INV_DELAY = s["pv_response_s"], 0
        level = np.repeat(rng.uniform(0.9, 1.09, N_SECONDS // 20), 20)
        s["v"] = on_grid(np.clip(level + 0.003 * np.cumsum(rng.normal(size=N_SECONDS)), 0.885, 1.0995))
        sun = np.repeat(rng.uniform(0.3, 1.1, N_SECONDS // 30), 30)
        s["p_dc"] = off_corner(np.clip(sun + 0.02 * rng.normal(size=N_SECONDS), 0.25, 1.15))
        der = DER_PV(file)
        outputs = []
        for v, p_dc in zip(
            np.repeat(s["v"], SAMPLES_PER_SECOND), np.repeat(s["p_dc"], SAMPLES_PER_SECOND), strict=True
        ):
            der.update_der_input(f=60, v_pu=float(v), p_dc_w=float(p_dc) * S_VA * s["p_rated"])
            der.run()
            outputs.append((der.p_out_w / S_VA, der.q_out_var / S_VA))
        kept = np.array(outputs)[KEPT_EVERY - 1 :: KEPT_EVERY]
        rows.append(s | {"p_out": kept[:, 0], "q_out": kept[:, 1]})
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def packed(columns):
    """Settings as whole multiples of UNIT, results in float32."""
    result = {}
    for key, values in columns.items():
        if key in ("p_out", "q_out", "p_wanted"):
            result[key] = values.astype(np.float32)
        elif values.dtype.kind in "iu":
            result[key] = values.astype(np.int8)
        else:
            whole = np.round(values / UNIT)
            assert np.abs(whole * UNIT - values).max() < 1e-9, key
            result[key] = whole.astype(np.int32 if np.abs(whole).max() > 32_000 else np.int16)
    return result


def main():
    """Record everything."""
    logging.disable(logging.CRITICAL)
    rng = np.random.default_rng(SEED)
    template = DERCommonFileFormat(NP_PHASE="THREE")
    np.savez_compressed(HERE / "steady.npz", **packed(steady(template, rng)))
    np.savez_compressed(HERE / "response.npz", **packed(response(template, rng)))
    provenance = {
        "tool": "opender (EPRI OpenDER, BSD-3-Clause)",
        "version": importlib.metadata.version("opender"),
        "date": datetime.date.today().isoformat(),
        "script": "generate.py: settings drawn at random, OpenDER's DER_PV run on each",
        "seed": SEED,
        "unit_of_settings": UNIT,
        "base_of_results": "p_out, q_out: share of the apparent-power rating; p_wanted, p_dc, p_limit: share of the "
        "active-power rating",
        "steady": f"{N_STEADY} settings with voltages 0.885..1.0995 pu, one step of {SNAPSHOT_S} s",
        "response": f"{N_SERIES} inverters, {N_SECONDS} s, {SAMPLES_PER_SECOND} steps a second, every {KEPT_EVERY}th "
        "kept; voltage and available power change from second to second",
        "tolerance": "1e-3 of the rating, steady and over time",
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
