"""Two-winding transformer as an admittance two-port that depends on the tap position; NumPy and JAX alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridenv.network.spec import Floats, TransformerTable

Array = Any
"""Array of the namespace handed in as `xp`: NumPy on the host, `jax.numpy` inside jit."""


@dataclass(frozen=True, kw_only=True)
class TransformerModel:
    """Tap-independent parameters, per unit of the common power base and of the buses' nominal voltages.

    Columns of numbers or truth values, [transformer]; device arrays where JAX holds them.
    """

    vn_hv_pu: Any
    """Rated voltage of the high-voltage winding."""
    vn_lv_pu: Any
    z_pu: Any
    """Series impedance of all parallel units, referred to the low-voltage winding at rated voltage, complex."""
    y_pu: Any
    """Magnetising admittance of all parallel units, referred likewise, complex."""
    r_share_hv: Any
    x_share_hv: Any
    shift_rad: Any
    tap_on_hv: Any
    tap_neutral: Any
    tap_step: Any
    tap_step_rad: Any
    tap_is_phase_shifter: Any


@dataclass(frozen=True, kw_only=True)
class TwoPort:
    """Admittances of a branch: `i_a = y_aa v_a + y_ab v_b` and `i_b = y_ba v_a + y_bb v_b`, currents into the branch.

    Losses without cancellation: `r |i_b - y_b v_b|^2 + Re(y_a) |v_a|^2 + Re(y_b) |v_b|^2`.
    """

    y_aa: Array
    y_ab: Array
    y_ba: Array
    y_bb: Array
    r: Array
    """Series resistance, referred to end b."""
    y_a: Array
    """Shunt admittance seen at end a."""
    y_b: Array
    """Shunt admittance at end b."""


def transformer_model(
    table: TransformerTable, vn_hv_bus_kv: Floats, vn_lv_bus_kv: Floats, s_base_kva: float
) -> TransformerModel:
    """Parameters from nameplate data.

    Args:
        table: nameplate data.
        vn_hv_bus_kv, vn_lv_bus_kv: nominal voltages of the buses at either side, kV.
        s_base_kva: common power base.

    Source: short-circuit and no-load test, pandapower 3.5 documentation, electric model of the transformer.
    """
    s_rated = table.s_kva * table.parallel / s_base_kva
    p_iron = table.p_iron_kw * table.parallel / s_base_kva
    q_magnetising = np.sqrt(np.maximum((table.i_no_load * s_rated) ** 2 - p_iron**2, 0.0))
    return TransformerModel(
        vn_hv_pu=table.vn_hv_kv / vn_hv_bus_kv,
        vn_lv_pu=table.vn_lv_kv / vn_lv_bus_kv,
        z_pu=(table.vkr + 1j * np.sqrt(table.vk**2 - table.vkr**2)) / s_rated,
        y_pu=p_iron - 1j * q_magnetising,
        r_share_hv=table.r_share_hv,
        x_share_hv=table.x_share_hv,
        shift_rad=table.shift_rad,
        tap_on_hv=table.tap_on_hv,
        tap_neutral=table.tap_neutral,
        tap_step=table.tap_step,
        tap_step_rad=table.tap_step_rad,
        tap_is_phase_shifter=table.tap_is_phase_shifter,
    )


def turns_ratio(model: TransformerModel, tap_pos: Array, xp: Any = np) -> tuple[Array, Array, Array]:
    """Winding voltages and phase shift at a tap position.

    Args:
        model: parameters `[transformer]`.
        tap_pos: positions `[*batch, transformer]`, need not be whole.
        xp: array namespace.

    Returns:
        Rated voltage of the high- and of the low-voltage winding with the tap, pu of the bus, and shift hv to lv, rad.

    Source: pandapower 3.5 `tap_changer_type` Ratio/Symmetrical (phasor added to the winding voltage) and Ideal.
    """
    steps = tap_pos - model.tap_neutral
    direction = xp.where(model.tap_on_hv, 1.0, -1.0)
    added = xp.where(model.tap_is_phase_shifter, 0.0, model.tap_step) * steps
    chord = xp.where(model.tap_is_phase_shifter, model.tap_step, 0.0) * steps
    along, across = 1.0 + added * xp.cos(model.tap_step_rad), added * xp.sin(model.tap_step_rad)
    ideal_rad = xp.where(model.tap_is_phase_shifter, model.tap_step_rad, 0.0) * steps + 2.0 * xp.arcsin(chord / 2.0)
    magnitude = xp.sqrt(along**2 + across**2)
    vn_hv = model.vn_hv_pu * xp.where(model.tap_on_hv, magnitude, 1.0)
    vn_lv = model.vn_lv_pu * xp.where(model.tap_on_hv, 1.0, magnitude)
    return vn_hv, vn_lv, model.shift_rad + direction * (ideal_rad + xp.arctan(across / along))


def transformer_two_port(model: TransformerModel, tap_pos: Array, xp: Any = np) -> TwoPort:
    """Admittances of transformers, end a at the high- and end b at the low-voltage bus, pu.

    Args:
        model: parameters `[transformer]`.
        tap_pos: positions `[*batch, transformer]`.
        xp: array namespace.

    Source: T circuit turned into pi by the star-delta transformation, as pandapower 3.5 `trafo_model="t"`;
        complex turns ratio as in the branch model of the MATPOWER User's Manual.
    """
    vn_hv, vn_lv, shift_rad = turns_ratio(model, tap_pos, xp)
    z, y = model.z_pu * vn_lv**2, model.y_pu / vn_lv**2
    z_hv = z.real * model.r_share_hv + 1j * z.imag * model.x_share_hv
    z_lv = z - z_hv
    z_pi = z + z_hv * z_lv * y
    ratio = vn_hv / vn_lv
    turns = ratio * xp.exp(1j * shift_rad)
    y_hv, y_lv = z_lv * y / z_pi, z_hv * y / z_pi
    return TwoPort(
        y_aa=(1.0 / z_pi + y_hv) / ratio**2,
        y_ab=-1.0 / z_pi / turns.conj(),
        y_ba=-1.0 / z_pi / turns,
        y_bb=1.0 / z_pi + y_lv,
        r=z_pi.real,
        y_a=y_hv / ratio**2,
        y_b=y_lv,
    )
