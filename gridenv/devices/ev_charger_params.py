"""Parameters of electric vehicle chargers, and the sessions they read them with."""

from collections.abc import Mapping, Sequence

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.pytree import pytree
from gridenv.exogenous.ev_sessions import NO_SESSION, SessionTable, connected_sessions

_MAX_TRANSITION_SOC = 0.99
"""Beyond it there is hardly a taper left, and its rate would leave the range of single precision."""
Numbers = float | Sequence[float] | np.ndarray
"""One value for all chargers, or one each."""
_NOBODY = (0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
"""Row that stands for no vehicle: a battery and a power of 1 keep every formula defined; what counts is masked."""


@pytree
class EvChargerParams:
    """Chargers, the stations that they share, and the sessions of the year."""

    p_max_kw: Float[Array, " charger"]
    """Most that it draws, alternating current."""
    p_discharge_max_kw: Float[Array, " charger"]
    """Most that it feeds into the network; 0 = it cannot."""
    eff_charge: Float[Array, " charger"]
    """Share of the energy at the terminals that reaches the battery."""
    eff_discharge: Float[Array, " charger"]
    """Share of the energy from the battery that reaches the terminals."""
    s_rated_kva: Float[Array, " charger"]
    """Apparent power of the converter; 0 = no reactive power."""
    reserve_soc: Float[Array, " charger"]
    """State of charge below which no vehicle is discharged."""
    transition_soc: Float[Array, " charger"]
    """State of charge above which the vehicles take less and less."""
    charger_to_station: Int[Array, " charger"]
    in_station: Float[Array, "charger station"]
    """1 where the charger belongs to the station."""
    import_max_kw: Float[Array, " station"]
    """Most that a station draws; infinite = no limit."""
    export_max_kw: Float[Array, " station"]
    """Most that a station feeds into the network."""
    shortfall_price_per_kwh: Float[Array, " charger"]
    """Paid for each kWh that a vehicle lacks at departure, EUR."""
    wear_price_per_kwh: Float[Array, " charger"]
    """Paid to the owner for each kWh taken out of the battery, EUR."""
    stock_price_per_kwh: Float[Array, " charger"]
    """Worth of a kWh in the battery, up to the energy asked, EUR."""
    session_of_step: Int[Array, "time charger"]
    """Row of `sessions`; the last row of this table is the end of the year, when all have gone."""
    sessions: Float[Array, "session field"]
    """Fields in the order of `Session`; the last row is no vehicle."""


@pytree
class Session:
    """What is known of the vehicle at each charger."""

    index: Int[Array, "*batch charger"]
    """Row in the table of sessions."""
    arrival_step: Float[Array, "*batch charger"]
    departure_step: Float[Array, "*batch charger"]
    """First step in which it is gone."""
    e_arrival_kwh: Float[Array, "*batch charger"]
    battery_kwh: Float[Array, "*batch charger"]
    target_kwh: Float[Array, "*batch charger"]
    """Energy on arrival and energy asked together."""
    p_max_kw: Float[Array, "*batch charger"]
    """Most that the vehicle draws, alternating current."""
    v2g_consent: Float[Array, "*batch charger"]
    """1 = may feed the network."""
    connected: Float[Array, "*batch charger"]
    """1 = there is a vehicle."""


def sessions_at(params: EvChargerParams, t: Int[Array, "*batch"]) -> Session:
    """The vehicles connected in step t; before the year as in its first step, after it none."""
    index = jnp.take(params.session_of_step, t, axis=0, mode="clip")
    fields = jnp.take(params.sessions, index, axis=0, mode="clip")
    arrival, departure, e_arrival, battery, target, p_max, consent, connected = (fields[..., k] for k in range(8))
    return Session(
        index=index,
        arrival_step=arrival,
        departure_step=departure,
        e_arrival_kwh=e_arrival,
        battery_kwh=battery,
        target_kwh=target,
        p_max_kw=p_max,
        v2g_consent=consent,
        connected=connected,
    )


def build_params(
    ids: Sequence[str],
    sessions: SessionTable,
    *,
    p_max_kw: Numbers,
    p_discharge_max_kw: Numbers = 0.0,
    eff_charge: Numbers = 0.9,
    eff_discharge: Numbers = 0.9,
    s_rated_kva: Numbers = 0.0,
    reserve_soc: Numbers = 0.4,
    transition_soc: Numbers = 0.8,
    shortfall_price_per_kwh: Numbers = 0.79,
    wear_price_per_kwh: Numbers = 0.05,
    stock_price_per_kwh: Numbers = 0.10,
    stations: Sequence[str] | None = None,
    import_max_kw: Mapping[str, float] | None = None,
    export_max_kw: Mapping[str, float] | None = None,
    dtype: str = "float32",
) -> EvChargerParams:
    """Parameters of chargers; a number stands for all chargers, a sequence has one entry each.

    Args:
        ids: names of the chargers, in the order of the sessions' charger positions.
        sessions: of as many chargers.
        p_max_kw: and all up to `stock_price_per_kwh`: the fields of `EvChargerParams`.
        p_discharge_max_kw: see there.
        eff_charge: see there.
        eff_discharge: see there.
        s_rated_kva: see there.
        reserve_soc: see there.
        transition_soc: see there.
        shortfall_price_per_kwh: see there.
        wear_price_per_kwh: see there.
        stock_price_per_kwh: see there.
        stations: name of the station of each charger; each is its own if left out.
        import_max_kw: most that a station draws; no limit where left out.
        export_max_kw: most that a station feeds into the network; no limit where left out.
        dtype: of all but the indices.

    Raises:
        ConfigError: all problems: values out of range, unknown stations, sessions of another number of chargers.

    Source: of the defaults, docs/devices/ev_charger.md, section "Parameters".
    """
    given = {
        "p_max_kw": p_max_kw,
        "p_discharge_max_kw": p_discharge_max_kw,
        "eff_charge": eff_charge,
        "eff_discharge": eff_discharge,
        "s_rated_kva": s_rated_kva,
        "reserve_soc": reserve_soc,
        "transition_soc": transition_soc,
        "shortfall_price_per_kwh": shortfall_price_per_kwh,
        "wear_price_per_kwh": wear_price_per_kwh,
        "stock_price_per_kwh": stock_price_per_kwh,
    }
    home = tuple(ids) if stations is None else tuple(stations)
    limits = {"import_max_kw": dict(import_max_kw or {}), "export_max_kw": dict(export_max_kw or {})}
    problems = [] if sessions.n_chargers == len(ids) else [_wrong_sessions(len(ids), sessions.n_chargers)]
    columns, wrong_lengths = _spread(ids, given)
    problems += wrong_lengths + _range_problems(ids, columns) + _station_problems(ids, home, limits)
    raise_collected(problems, ConfigError)
    names = tuple(dict.fromkeys(home))
    to_station = np.array([names.index(name) for name in home], np.int32)
    return EvChargerParams(
        **{name: jnp.asarray(column, dtype) for name, column in columns.items()},
        **{name: jnp.asarray([limit.get(n, np.inf) for n in names], dtype) for name, limit in limits.items()},
        charger_to_station=jnp.asarray(to_station),
        in_station=jnp.asarray(to_station[:, None] == np.arange(len(names)), dtype),
        session_of_step=jnp.asarray(_rows_by_step(sessions)),
        sessions=jnp.asarray(_session_rows(sessions), dtype),
    )


def _rows_by_step(sessions: SessionTable) -> Int[np.ndarray, "time charger"]:
    index = connected_sessions(sessions)
    after_the_year = np.full((1, sessions.n_chargers), NO_SESSION, np.int32)
    index = np.concatenate([index, after_the_year])
    return np.where(index == NO_SESSION, len(sessions), index).astype(np.int32)


def _session_rows(sessions: SessionTable) -> Float[np.ndarray, "session field"]:
    fields = (
        sessions.arrival_step,
        sessions.departure_step,
        sessions.e_arrival_kwh,
        sessions.battery_kwh,
        np.minimum(sessions.e_arrival_kwh + sessions.e_asked_kwh, sessions.battery_kwh),
        sessions.p_max_kw,
        sessions.v2g_consent,
        np.ones(len(sessions)),
    )
    return np.vstack([np.stack(fields, axis=1).astype(np.float64), np.array(_NOBODY)])


def _wrong_sessions(n_ids: int, n_chargers: int) -> str:
    return f"ev chargers: sessions are for {n_chargers} chargers; allowed: {n_ids}, one an id; give other sessions"


def _spread(ids: Sequence[str], given: Mapping[str, Numbers]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every value for each charger, and messages for those that have another length."""
    columns, problems = {}, []
    for name, value in given.items():
        column = np.asarray(value, np.float64)
        if column.shape not in ((), (len(ids),)):
            problems.append(
                f"ev chargers: {name} has shape {column.shape}; allowed: a number or {len(ids)} values, one a charger"
            )
        else:
            columns[name] = np.broadcast_to(column, (len(ids),))
    return columns, problems


def _range_problems(ids: Sequence[str], columns: Mapping[str, np.ndarray]) -> list[str]:
    def wrong(name: str, ok: Bool[np.ndarray, " charger"], allowed: str) -> list[str]:
        return [
            f"ev charger '{ids[i]}': {name} = {columns[name][i]:g}; allowed: {allowed}; correct it"
            for i in np.flatnonzero(~ok).tolist()
        ]

    problems = []
    for name, column in columns.items():
        if name in ("eff_charge", "eff_discharge"):
            problems += wrong(name, (column > 0) & (column <= 1), "> 0 and <= 1")
        elif name == "reserve_soc":
            problems += wrong(name, (column >= 0) & (column <= 1), "0..1")
        elif name == "transition_soc":
            problems += wrong(name, (column >= 0) & (column <= _MAX_TRANSITION_SOC), f"0..{_MAX_TRANSITION_SOC}")
        else:
            problems += wrong(name, np.isfinite(column) & (column >= 0), "finite and >= 0")
    if {"s_rated_kva", "p_max_kw", "p_discharge_max_kw"} <= columns.keys():
        enough = columns["s_rated_kva"] >= np.maximum(columns["p_max_kw"], columns["p_discharge_max_kw"])
        allowed = "0 (no reactive power), or at least p_max_kw and p_discharge_max_kw"
        problems += wrong("s_rated_kva", enough | (columns["s_rated_kva"] == 0), allowed)
    return problems


def _station_problems(
    ids: Sequence[str], home: tuple[str, ...], limits: Mapping[str, Mapping[str, float]]
) -> list[str]:
    problems = []
    if len(home) != len(ids):
        problems.append(f"ev chargers: {len(home)} stations; allowed: {len(ids)}, one a charger; add or drop some")
    for field, by_station in limits.items():
        problems += [
            f"ev chargers: {field} of unknown station '{n}'{did_you_mean(n, home)}" for n in by_station if n not in home
        ]
        problems += [
            f"ev station '{name}': {field} = {value:g}; allowed: >= 0, inf = no limit; correct it"
            for name, value in by_station.items()
            if not value >= 0
        ]
    return problems
