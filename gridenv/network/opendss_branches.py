"""Sources, lines, series reactors, transformers and their controls of an OpenDSS circuit as rows of tables."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.units import KVAR_PER_S_KV2, PERCENT, PPM, SQRT3
from gridenv.network.opendss_engine import DssCircuit, DssElement
from gridenv.network.opendss_rows import Rows, digits, referred, refuse
from gridenv.network.phase_elements import SINGULAR
from gridenv.network.phase_tables import MAX_CONDUCTORS


def source_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A three-phase voltage source."""
    if len(element.nodes[0]) != MAX_CONDUCTORS:
        refuse(element, f"phases = {len(element.nodes[0])}", "allowed: 3")
    if any(element.nodes[1]):
        refuse(element, f"bus2 = {element.text('bus2')}", "allowed: ground; connect the source to one bus")
    if element.text("sequence") != "positive":
        refuse(element, f"sequence = {element.text('sequence')}", "allowed: positive")
    bus = element.buses[0]
    if not circuit.vn_kv[bus] > 0.0:
        refuse(element, f"base voltage {circuit.vn_kv[bus]:g} kV of bus '{bus}'", "correct the script's voltage bases")
    return {
        "sources": [
            {
                "id": element.id,
                "bus": bus,
                "phases": digits(element, element.nodes[0]),
                "v_pu": element.number("basekv") * element.number("pu") / circuit.vn_kv[bus],
                "angle_rad": np.deg2rad(element.number("angle")),
                "z_ohm": _inverse(element, element.block(0, 0), "admittance"),
            }
        ]
    }


def line_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A line, cable or switch; out of service where an end is open."""
    rating = {"i_max_a": element.number("normamps") if element.id in circuit.rated_lines else np.inf}
    return {"lines": [_pi_section(element) | rating]}


def reactor_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A reactor: a line where it is in series, a capacitor of negative reactive power where it is a shunt."""
    if any(len(terminal) == 1 and terminal[0] > MAX_CONDUCTORS for terminal in element.nodes):
        return _neutral_reactor(element, circuit)
    if len(element.nodes) == 1 or not any(element.nodes[1]):
        return _shunt_reactor(element)
    return {"lines": [_pi_section(element) | {"i_max_a": np.inf}]}


def _pi_section(element: DssElement) -> dict[str, Any]:
    opened = [any(flags) for flags in element.open_conductors]
    if any(opened) and not all(all(flags) for flags, o in zip(element.open_conductors, opened, strict=True) if o):
        refuse(element, "some conductors of an end are open", "open or close all conductors of the end")
    pairs = list(zip(*element.nodes, strict=True))
    kept = [k for k, pair in enumerate(pairs) if any(pair)]
    if not kept or not len(element.y_s):
        refuse(element, "no conductor with an admittance", "connect its conductors to buses, or disable it")
    from_nodes, to_nodes = ([terminal[k] for k in kept] for terminal in element.nodes)
    rows = np.ix_(kept, kept)
    series = -element.block(0, 1)[rows]
    ends = element.block(0, 0)[rows] - series
    z_ohm = _inverse(element, series, "series admittance")
    return {
        "id": element.id,
        "from_bus": element.buses[0],
        "to_bus": element.buses[1],
        "from_phases": digits(element, from_nodes),
        "to_phases": digits(element, to_nodes),
        "z_ohm": _padded(z_ohm),
        "y_s": _padded(2.0 * ends),
        "closed": not any(opened),
    }


def _inverse(element: DssElement, matrix: NDArray[np.complex128], what: str) -> NDArray[np.complex128]:
    """Impedance of an admittance matrix of the element."""
    is_usable = matrix.size > 0 and bool(np.isfinite(matrix).all())
    singular_value = np.linalg.svd(matrix, compute_uv=False) if is_usable else np.zeros(1)
    if singular_value[-1] <= SINGULAR * singular_value[0]:
        refuse(element, f"{what} without an inverse", "give every conductor an impedance that is finite and not 0")
    return np.linalg.inv(matrix).astype(complex)


def _padded(matrix: NDArray[Any]) -> NDArray[np.complex128]:
    """A symmetric matrix of at most three conductors, filled up with zeros."""
    out = np.zeros((MAX_CONDUCTORS, MAX_CONDUCTORS), dtype=complex)
    n = len(matrix)
    out[:n, :n] = (matrix + matrix.T) / 2.0
    return out


def _shunt_reactor(element: DssElement) -> Rows:
    """Reactors without losses; OpenDSS keeps kvar and kV of the whole bank when given ohms, so those are read off."""
    n, y = len(element.nodes[0]), element.y_s[: len(element.nodes[0]), : len(element.nodes[0])]
    delta = element.text("conn") == "delta"
    if not y.size or not np.isfinite(y).all():
        refuse(element, "no finite admittance", "give it an impedance other than 0")
    if not delta and np.abs(y - np.diag(np.diag(y))).max() > 0.0:
        refuse(element, "coupled phases", "allowed: equal, uncoupled phases")
    if np.abs(np.real(y)).max() > PPM * np.abs(np.imag(y)).max():
        refuse(element, "a shunt reactor with resistance", "model the losses as a load of model 2")
    v_kv = element.number("kv")
    b_s = -float(np.imag(y[0, 0])) / (2.0 if delta and n == MAX_CONDUCTORS else 1.0)
    v_leg_kv = v_kv / SQRT3 if n > 1 and not delta else v_kv
    return {
        "capacitors": [
            {
                "id": element.id,
                "bus": element.buses[0],
                "phases": digits(element, element.nodes[0]),
                "connection": "delta" if delta else "wye",
                "q_kvar": -b_s * v_leg_kv**2 * KVAR_PER_S_KV2 * n,
                "v_kv": v_kv,
                "closed": True,
            }
        ]
    }


def _neutral_reactor(element: DssElement, circuit: DssCircuit) -> Rows:
    """A reactor between a transformer's neutral and ground; `winding_rows` takes it into the winding."""
    neutral = [(b, n) for b, nodes in zip(element.buses, element.nodes, strict=True) for n in nodes if n]
    if len(neutral) == 1 and len(circuit.at_node.get(neutral[0], ())) == 2:
        return {}
    return refuse(element, f"conductor {neutral[0][1]} of bus '{neutral[0][0]}'", "conductors above 3 must be neutrals")


def transformer_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A transformer and its windings."""
    n_phase = int(element.number("phases"))
    n_winding = len(element.nodes)
    if n_phase not in (1, MAX_CONDUCTORS):
        refuse(element, f"phases = {n_phase}", "allowed: 1 and 3; split it into single-phase units")
    if n_winding not in (2, MAX_CONDUCTORS):
        refuse(element, f"windings = {n_winding}", "allowed: 2 and 3")
    unit = {
        "id": element.id,
        "n_phase": n_phase,
        "x_12": element.number("xhl") / PERCENT,
        "x_13": element.number("xht") / PERCENT if n_winding > 2 else 0.0,
        "x_23": element.number("xlt") / PERCENT if n_winding > 2 else 0.0,
        "p_no_load": element.number("pctnoloadloss") / PERCENT,
        "i_magnetising": element.number("pctimag") / PERCENT,
        "stray_share": element.number("ppm_antifloat") * PPM,
        "lag_30": element.text("leadlag") in ("lag", "ansi"),
    }
    return {"transformers": [unit], "windings": [_winding(element, circuit, k) for k in range(n_winding)]}


def _winding(element: DssElement, circuit: DssCircuit, k: int) -> dict[str, Any]:
    given = {name: element.properties[name][k] for name in ("conns", "kvs", "kvas", "taps", "pctrs")}
    nodes, connection = element.nodes[k], str(given["conns"]).lower()
    z_neutral = 0.0j
    if element.number("phases") == 1:
        phases = digits(element, nodes, ground=True)
    else:
        phases = digits(element, nodes[:MAX_CONDUCTORS])
        if connection == "wye":
            connection, z_neutral = _neutral(element, circuit, k)
    return {
        "id": f"{element.id}.{k + 1}",
        "transformer": element.id,
        "bus": element.buses[k],
        "phases": phases,
        "connection": connection,
        "v_kv": given["kvs"],
        "s_kva": given["kvas"],
        # OpenDSS refers the resistance of every winding to the rating of the first one.
        "r": given["pctrs"] / PERCENT * given["kvas"] / element.properties["kvas"][0],
        "tap": given["taps"],
        "z_neutral_ohm": z_neutral,
    }


def _neutral(element: DssElement, circuit: DssCircuit, k: int) -> tuple[str, complex]:
    """Connection of a three-phase wye winding and the impedance of its neutral."""
    node = element.nodes[k][MAX_CONDUCTORS]
    if node == 0:
        return "wye", 0.0j
    others = [e for e in circuit.at_node.get((element.buses[k], node), ()) if e is not element]
    r_ohm, x_ohm = element.properties["rneut"][k], element.properties["xneut"][k]
    if not others:
        return ("wye", complex(r_ohm, x_ohm)) if r_ohm >= 0.0 else ("wye_ungrounded", 0.0j)
    reactor = others[0]
    if len(others) > 1 or reactor.kind != "reactor" or r_ohm >= 0.0 or node <= MAX_CONDUCTORS:
        found = f"neutral at conductor {node} of bus '{element.buses[k]}' together with {others[0].id}"
        return refuse(element, found, "allowed: ground, or one single-phase reactor to ground")
    return "wye", complex(_inverse(element, reactor.block(0, 0), f"admittance of {reactor.id}")[0, 0])


def regulator_rows(element: DssElement, circuit: DssCircuit) -> Rows:
    """A tap-changer control."""
    transformer = referred(element, circuit, "transformer")
    winding, tapped = int(element.number("winding")), int(element.number("tapwinding"))
    if winding != tapped:
        refuse(element, f"winding = {winding} and tapwinding = {tapped}", "allowed: the same winding")
    if element.text("bus"):
        refuse(element, f"bus = {element.text('bus')}", "allowed: the winding's own bus; use the line-drop compensator")
    phase = element.text("ptphase")
    if phase not in ("1", "2", "3"):
        refuse(element, f"ptphase = {phase}", "allowed: 1, 2, 3")
    for name in ("reversible", "inversetime", "cogen"):
        if element.properties.get(name):
            refuse(element, f"{name} = yes", "allowed: no")
    for name in ("vlimit", "ldc_z"):
        if element.properties.get(name):
            refuse(element, f"{name} = {element.number(name):g}", "allowed: 0")
    limits = {name: transformer.properties[name][tapped - 1] for name in ("mintap", "maxtap", "numtaps")}
    return {
        "regulators": [
            {
                "id": element.id,
                "transformer": transformer.id,
                "winding": winding,
                "v_target_v": element.number("vreg"),
                "band_v": element.number("band"),
                "pt_ratio": element.number("ptratio"),
                "ct_primary_a": element.number("ctprim"),
                "ldc_r_v": element.number("r"),
                "ldc_x_v": element.number("x"),
                "tap_min": limits["mintap"],
                "tap_max": limits["maxtap"],
                "n_step": limits["numtaps"],
                "monitored_phase": float(phase),
                "delay_s": element.number("delay"),
                "max_steps": element.number("maxtapchange"),
            }
        ]
    }
