"""The volt-var curve of IEEE Std 1547-2018 as the action of an inverter, by four parameters.

They say where it lies, how wide its deadband is, how steep it is, and how far it goes. A symmetric curve about a
reference voltage: nothing within the deadband, then a ramp to an end, either way. Ranges and defaults are those of
table 8 for category B, so any action is a curve that the standard allows.
"""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.channels import Channel
from gridenv.devices.ieee1547 import CATEGORIES
from gridenv.devices.inverter import InverterFeasible, InverterParams, InverterRequest

_RANGES = {
    "v_ref_pu": ("pu", 0.95, 1.05),
    "deadband_pu": ("pu", 0.0, 0.03),
    "ramp_pu": ("pu", 0.02, 0.15),
    "q_end_share": ("", 0.0, 1.0),
}
"""Unit and range of each parameter. V_ref 0.95 to 1.05; V2 and V3 up to 0.03 from it; V1 and V4 from 0.02 beyond them
to 0.18 from V_ref, at any deadband; Q1 and Q4 up to the reactive capability. Source: table 8, category B."""


def channels(name: str) -> tuple[Channel, ...]:
    """Actions of the unit called `name`."""
    return tuple(
        Channel(
            name=f"{name}.{quantity}",
            unit=unit,
            low=low,
            high=high,
            offset=(low + high) / 2,
            scale=(high - low) / 2,
            source=name,
        )
        for quantity, (unit, low, high) in _RANGES.items()
    )


def request(params: InverterParams, action: Float[Array, "*batch unit 4"]) -> InverterRequest:
    """The curve with these parameters."""
    v_ref, deadband, ramp, end = (action[..., i] for i in range(4))
    v2, v3 = v_ref - deadband, v_ref + deadband
    zero = jnp.zeros_like(end)
    inject, absorb = _end_shares(params)
    return InverterRequest(
        volt_var_v_pu=jnp.stack((v2 - ramp, v2, v3, v3 + ramp), axis=-1),
        volt_var_q_share=jnp.stack((end * inject, zero, zero, -end * absorb), axis=-1),
        v_ref_pu=v_ref,
    )


def in_force(params: InverterParams, feasible: InverterFeasible) -> Float[Array, "*batch unit 4"]:
    """Parameters of the curve that the unit followed."""
    done = feasible.request
    assert done.volt_var_v_pu is not None
    assert done.volt_var_q_share is not None
    assert done.v_ref_pu is not None
    v2, v3, v4 = (done.volt_var_v_pu[..., i] for i in (1, 2, 3))
    end = done.volt_var_q_share[..., 0] / _end_shares(params)[0]
    return jnp.stack((done.v_ref_pu, (v3 - v2) / 2, v4 - v3, end), axis=-1)


def default(params: InverterParams, like: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit 4"]:
    """The default curve of category B; its end at most the unit's capability."""
    curve = CATEGORIES["B"]
    _, v2, v3, v4 = curve.volt_var_v_pu
    inject, _ = _end_shares(params)
    end = jnp.minimum(curve.volt_var_q_share[0] / inject, 1.0)
    parts = ((v2 + v3) / 2, (v3 - v2) / 2, v4 - v3, end)
    return jnp.stack([jnp.broadcast_to(jnp.asarray(part, like.dtype), like.shape) for part in parts], axis=-1)


def _end_shares(params: InverterParams) -> tuple[Array, Array]:
    """Reactive capability in both directions, share of rated apparent power."""
    ratings = params.ratings
    return ratings.q_inject_max_kvar / ratings.s_rated_kva, ratings.q_absorb_max_kvar / ratings.s_rated_kva
