"""Small tasks with switches on the IEEE 33-bus feeder, and what several test modules ask of them."""

from functools import cache

import jax
import numpy as np

from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.grid_task import make

LINES = tuple(f"line.{i}" for i in range(1, 38))
N_SECTION = 32
"""Lines that are closed by default; the other five are ties."""
N_ENV = 8
"""Size of batches, mostly the same so that programs are compiled once."""
NOON, NIGHT = 48, 8
SUMMER = 100
"""Day of the split."""
FREE = [{"id": name, "dwell_h": 0.0} for name in LINES]
PLANTS = [{"bus": bus, "p_dc_kw": 800.0, "profile": "PV3", "control": "p_q"} for bus in ("18", "25", "33")]
BATTERY = {"bus": "18", "e_max_kwh": 400.0, "p_max_kw": 200.0}
MIXED = {
    "inverters": PLANTS,
    "batteries": [BATTERY, {"bus": "7", "e_max_kwh": 400.0, "p_max_kw": 200.0, "control": "p_q"}],
    "ev_chargers": [{"bus": "18", "id": f"ev{i}", "use": "public"} for i in range(3)],
    "heat_pumps": [{"bus": "18", "n_homes": 5.0}, {"bus": "30", "n_homes": 5.0}],
    "appliances": [{"bus": "18", "kind": "dishwasher"}],
    "curtailable_loads": [{"bus": "18", "p_rated_kw": 60.0}],
    "generators": [{"bus": "18", "p_max_kw": 100.0}],
}


SETTINGS = {
    "plain": {"switches": FREE, "batteries": [BATTERY]},
    "mixed": {"switches": FREE, **MIXED, "grid_fee_eur_kwh": 0.15},
    "curves": {"switches": FREE, "inverters": [{**p, "control": "volt_var"} for p in PLANTS]},
    "few": {"switches": [{"id": "line.17"}, {"id": "line.36"}]},
    "fixed": {"batteries": [BATTERY]},
    "plants": {
        "switches": [{**s, "wear_eur": 0.0} for s in FREE],
        "inverters": PLANTS,
        "curtailable_loads": [{"bus": "18", "p_rated_kw": 60.0, "max_share": 1.0}],
        "load_scale": 1e-6,
        "price_zone": "Denmark 1",
    },
    "no wear": {"switches": [{**s, "wear_eur": 0.0} for s in FREE], **MIXED, "load_scale": 3.0},
    "market of losses": {
        "switches": [{**s, "wear_eur": 0.0} for s in FREE],
        "inverters": PLANTS,
        "market": "losses",
        "load_scale": 0.1,
    },
}


@cache
def made(key):
    return make(GridTaskConfig(network="ieee33", **SETTINGS[key]), "Switching-IEEE33-v0")


@cache
def compiled(env):
    return jax.jit(env.advance)


def advance(env, params, state, action):
    return compiled(env)(state, action, params)


def action_of(env, params, state, opened=(), closed=(), **others):
    """Idle [env, entry] in which environment i opens `opened[i]` and closes `closed[i]`; `others` for all of them."""
    names = env.task.action.names
    action = np.array(env.idle(params, state))
    for lines, value in ((opened, -1.0), (closed, 1.0)):
        for i, several in enumerate(lines):
            for line in (several,) if isinstance(several, str) else several:
                action[i, names.index(f"switch.{line}.closed")] = value
    for name, value in others.items():
        action[:, [n.startswith(f"{name}.") for n in names]] = value
    return action


def begun(key, n=N_ENV, step=NOON, day=SUMMER):
    env, params = made(key)
    start = np.full(n, int(params.starts[day]) + step)
    return env, params, env.reset_at(start, params)[1]


def downstream(spec, line):
    """Buses that the opened line leaves without supply, by walking the closed lines."""
    lines = spec.lines
    near = {}
    for name, a, b, on in zip(lines.id, lines.from_bus, lines.to_bus, lines.from_closed & lines.to_closed, strict=True):
        if on and name != line:
            near.setdefault(a, []).append(b)
            near.setdefault(b, []).append(a)
    reached, waiting = set(), [spec.sources.bus[0]]
    while waiting:
        bus = waiting.pop()
        if bus not in reached:
            reached.add(bus)
            waiting += near.get(bus, [])
    return set(spec.buses.id) - reached


def kwh_lines(info):
    return {k.removeprefix("kwh."): np.asarray(v, float) for k, v in info["kpi"].items() if k.startswith("kwh.")}


def assert_lines_close(info):
    """The energy lines sum to zero."""
    lines = np.stack(list(kwh_lines(info).values()))
    assert np.all(np.abs(lines.sum(axis=0)) <= 1e-4 * np.maximum(np.abs(lines).sum(axis=0), 1e-3))


def assert_energy_closes(info, output):
    """Line by line, and source = loads + losses + units of what is delivered."""
    assert_lines_close(info)
    source_kw, loss_kw = np.asarray(output.source_p_kw, float), np.asarray(output.loss_kw, float)
    moved_kw = np.asarray(output.p_kw, float)
    gap = source_kw + moved_kw.sum(axis=-1) - loss_kw
    assert np.all(np.abs(gap) <= 1e-4 * np.maximum(np.abs(moved_kw).sum(axis=-1), 1.0))
