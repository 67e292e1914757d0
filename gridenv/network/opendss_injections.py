"""Loads, generators, storage and capacitors of an OpenDSS circuit as rows of tables."""

from typing import Any

import numpy as np

from gridenv.core.units import PERCENT, SQRT3
from gridenv.network.opendss_engine import DssCircuit, DssElement
from gridenv.network.opendss_rows import Rows, digits, referred, refuse
from gridenv.network.phase_tables import MAX_CONDUCTORS

Leg = tuple[str, str, float]
"""Conductors, connection, and share of the element's power."""

_EXPONENTS = {1: (0.0, 0.0), 2: (2.0, 2.0), 3: (0.0, 2.0), 5: (1.0, 1.0), 6: (0.0, 0.0), 7: (0.0, 2.0)}
"""Load model -> voltage exponents of active and reactive power."""
_WITHOUT_LIMITS = (2,)
"""Load models that hold at any voltage."""
FIXED_Q = (6, 7)
"""Load models whose reactive power no multiplier changes, and whose resistance below `vminpu` is the one there."""
_CONTROL_MODES = {"voltage": "voltage", "current": "current", "kvar": "kvar"}


def load_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A load of constant power, current or impedance, or with exponents."""
    model = int(element.number("model"))
    if model == 4:
        exponents = (element.number("cvrwatts"), element.number("cvrvars"))
    elif model in _EXPONENTS:
        exponents = _EXPONENTS[model]
    else:
        known = ", ".join(str(m) for m in sorted((*_EXPONENTS, 4)))
        refuse(element, f"model = {model}", f"allowed: {known}; split it into loads of models 1, 2 and 5")
    factor = circuit.load_multiplier if element.text("status") == "variable" else 1.0
    limits = {"v_min_pu": 0.0, "v_max_pu": np.inf, "v_low_pu": 0.0}
    if model not in _WITHOUT_LIMITS:
        limits = {f"v_{name}_pu": element.number(f"v{name}pu") for name in ("min", "max", "low")}
    if model in FIXED_Q:
        limits["v_low_pu"] = 0.0
    given = {"kind": "load", "exponent_p": exponents[0], "exponent_q": exponents[1], **limits}
    factor_q = 1.0 if model in FIXED_Q else factor
    return _injection(element, -factor * element.number("kw"), -factor_q * element.number("kvar"), given)


def generator_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A generator of constant power or impedance."""
    model = int(element.number("model"))
    if model not in (1, 2, 7):
        refuse(element, f"model = {model}", "allowed: 1, 2 and 7; give the reactive power with model 1")
    factor = circuit.generator_multiplier if element.text("status") == "variable" else 1.0
    exponent = 2.0 if model == 2 else 0.0
    given = {"kind": "sgen", "exponent_p": exponent, "exponent_q": exponent}
    return _injection(element, factor * element.number("kw"), factor * element.number("kvar"), given)


def photovoltaic_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A photovoltaic unit with the power it has at the irradiance of the script."""
    del circuit
    return _injection(element, element.p_kw, element.q_kvar, {"kind": "sgen"} | _CONSTANT_POWER)


def storage_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A storage unit with the power of its state; idling, it draws its idling losses."""
    del circuit
    state, p_kw = element.text("state"), abs(element.number("kw"))
    rated_kw = element.number("kwrated")
    signed_kw = {"discharging": p_kw, "charging": -p_kw}.get(state, -element.number("pctidlingkw") / PERCENT * rated_kw)
    q_kvar = element.number("kvar") if state != "idling" else 0.0
    return _injection(element, signed_kw, q_kvar, {"kind": "storage"} | _CONSTANT_POWER)


_CONSTANT_POWER = {"exponent_p": 0.0, "exponent_q": 0.0}
_NO_LIMITS = {"v_min_pu": 0.0, "v_max_pu": np.inf, "v_low_pu": 0.0}


def _injection(element: DssElement, p_kw: float, q_kvar: float, given: dict[str, Any]) -> Rows:
    legs = _legs(element)
    n_phase, v_kv = int(element.number("phases")), element.number("kv")
    across_kv = v_kv / SQRT3 if n_phase > 1 and element.text("conn") == "wye" else v_kv
    return {
        "injections": [
            _NO_LIMITS
            | given
            | {
                "id": element.id if len(legs) == 1 else f"{element.id}.{phases}",
                "bus": element.buses[0],
                "phases": phases,
                "connection": connection,
                "p_kw": p_kw * share,
                "q_kvar": q_kvar * share,
                "v_kv": across_kv,
            }
            for phases, connection, share in legs
        ]
    }


def _legs(element: DssElement) -> list[Leg]:
    """What an element lies between: one leg for most, several where the tables cannot say it at once."""
    nodes, n = element.nodes[0], int(element.number("phases"))
    if element.text("conn") == "wye":
        neutral, phases = (nodes[n] if len(nodes) > n else 0), nodes[:n]
        if neutral == 0:
            return [(digits(element, phases), "wye", 1.0)]
        return [_between(element, k, neutral, n) for k in phases]
    if n == MAX_CONDUCTORS:
        return [(digits(element, nodes[:n]), "delta", 1.0)]
    return [_between(element, nodes[k], nodes[k + 1], n) for k in range(n)]


def _between(element: DssElement, a: int, b: int, n_leg: int) -> Leg:
    text = digits(element, (a, b), ground=True)
    return (text.replace("0", ""), "wye" if "0" in text else "delta", 1.0 / n_leg)


def capacitor_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A shunt capacitor bank; one row a step."""
    del circuit
    kvar, states = element.properties["kvar"], element.properties["states"]
    phases, connection = _bank(element)
    if any(any(element.properties[name]) for name in ("r", "xl")):
        refuse(element, "a series resistance or reactor", "allowed: r = 0 and xl = 0")
    return {
        "capacitors": [
            {
                "id": element.id if len(kvar) == 1 else f"{element.id}.{k + 1}",
                "bus": element.buses[0],
                "phases": phases,
                "connection": connection,
                "q_kvar": step_kvar,
                "v_kv": element.number("kv"),
                "closed": bool(state),
            }
            for k, (step_kvar, state) in enumerate(zip(kvar, states, strict=True))
        ]
    }


def _bank(element: DssElement) -> tuple[str, str]:
    """Conductors and connection of a bank."""
    n = int(element.number("phases"))
    if any(flag for flags in element.open_conductors for flag in flags):
        refuse(element, "an open conductor", "switch the bank with its states")
    if element.text("conn") == "delta":
        if n == 2:
            refuse(element, "a delta bank of two phases", "split it into single-phase banks")
        return digits(element, element.nodes[0][: max(n, 2)]), "delta"
    if not any(element.nodes[1]):
        return digits(element, element.nodes[0]), "wye"
    if n == 1 and element.buses[0] == element.buses[1]:
        return digits(element, (element.nodes[0][0], element.nodes[1][0])), "delta"
    return refuse(
        element, f"bus2 = {element.text('bus2')}", "allowed: ground; series and ungrounded banks are not modelled"
    )


def capacitor_control_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A control that switches a bank by voltage, current or reactive power at a line."""
    mode = element.text("type")
    if mode not in _CONTROL_MODES:
        refuse(element, f"type = {mode}", f"allowed: {', '.join(_CONTROL_MODES)}")
    if not element.text("element").startswith("line.") or element.number("terminal") != 1:
        found = f"element = {element.text('element')}, terminal = {element.number('terminal'):g}"
        refuse(element, found, "allowed: terminal 1 of a line")
    capacitor = referred(element, circuit, "capacitor")
    if len(capacitor.properties["kvar"]) > 1:
        refuse(element, f"a bank of {len(capacitor.properties['kvar'])} steps", "allowed: one step")
    return {
        "capacitor_controls": [
            {
                "id": element.id,
                "capacitor": capacitor.id,
                "line": element.text("element"),
                "mode": mode,
                "switch_on": element.number("onsetting"),
                "switch_off": element.number("offsetting"),
                "pt_ratio": element.number("ptratio"),
                "ct_ratio": element.number("ctratio"),
                "delay_s": element.number("delay"),
            }
        ]
    }
