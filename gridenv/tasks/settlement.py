"""What a step of a grid was worth: money line by line, energy line by line, and the cost vector."""

from dataclasses import dataclass

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.units import KWH_PER_MWH
from gridenv.exogenous.scenario import PRICE_NAME, sample
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks import terms
from gridenv.tasks.demand_response import EUR_LINE, DemandResponse
from gridenv.tasks.env import Settlement
from gridenv.tasks.own_terms import OwnTerms

MONEY_LINES = ("loss", "trade", "grid_fee", "unserved")
"""Lines of money that are no unit's."""
V_BAND, THERMAL, UNBALANCE, UNSERVED, PF_FAIL = "v_band", "thermal", "unbalance", "unserved", "pf_fail"


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """How trade with the upstream grid is settled."""

    is_market: bool
    """Whether injections are traded; else only losses are bought."""
    grid_fee_eur_kwh: float
    voll_eur_kwh: float
    """Value of lost load; without effect where no switches move."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Settler:
    """Settles the steps of a task; names and places are known when the program is compiled."""

    tariff: Tariff
    meter: np.ndarray | None
    """[injection, bus with injections] 1 where an injection belongs to a bus's meter; None without a fee."""
    settled: np.ndarray | None
    """[injection] 1 where trade counts; None = everywhere, and losses too."""
    supplied: np.ndarray | None
    """Nodes with a path to a source, whose voltages are judged; None = all, or those with supply in the step."""
    cost_names: tuple[str, ...]
    programme: DemandResponse | None
    device_costs: tuple[tuple[tuple[int, int], ...], ...]
    """Groups and lines that make up each cost of devices, in the order of `cost_names`."""
    own: OwnTerms | None = None
    """Money and costs that a user's task adds."""

    def __call__(self, model: GridModel, state: GridState, output: GridOutput) -> Settlement:
        """Money, costs and key figures of a step.

        Where no solution was found, voltages and flows mean nothing: the step costs `pf_fail` and nothing else.
        """
        solved = output.converged
        v_pu = output.v_pu if self.supplied is None else output.v_pu[..., self.supplied]
        eur = self._money(model, state, output)
        # Dead nodes are judged by what they miss, not by their voltage.
        held_pu = v_pu if output.supply is None else jnp.where(output.supply.energised, v_pu, 1.0)
        grid_costs = [terms.v_band_pu_h(held_pu, model.dt_h), _thermal(model, output)]
        if UNBALANCE in self.cost_names:
            grid_costs.append(terms.unbalance_pu_h(output.unbalance, model.dt_h))
        if output.supply is not None:
            grid_costs.append(terms.unserved_kwh(output.supply.unserved_kw, model.dt_h))
        devices = [
            sum(jnp.sum(output.ledgers[group].cost[..., line, :], axis=-1) for group, line in places)
            for places in self.device_costs
        ]
        if self.own is not None:
            further = self.own.costs(model, state, output)
            devices += [further[name] for name in self.own.cost_names]
        failed = 1.0 - solved.astype(v_pu.dtype)
        cost = jnp.stack([*(jnp.where(solved, c, 0.0) for c in (*grid_costs, *devices)), failed], axis=-1)
        kpi = {f"eur.{name}": value for name, value in eur.items()} | self._key_figures(model, output, v_pu)
        kpi = {name: jnp.where(solved, value, 0.0) for name, value in kpi.items()}
        economic = jnp.where(solved, sum(eur.values()), 0.0)
        unit_eur = jnp.where(solved[..., None], self._unit_eur(model, state, output), 0.0)
        return Settlement(economic, cost, kpi, unit_eur)

    def _money(self, model: GridModel, state: GridState, output: GridOutput) -> dict[str, Float[Array, "*batch"]]:
        """EUR of the step, positive = earned."""
        price = sample(model.scenario, state.t)[..., model.scenario.column(PRICE_NAME)]
        eur = {}
        if self.settled is None:
            eur["loss"] = -terms.loss_cost_eur(output.loss_kw, price, model.dt_h)
            injected_kw = output.loss_kw - output.source_p_kw
        else:
            injected_kw = output.p_kw @ jnp.asarray(self.settled, output.p_kw.dtype)
        if self.tariff.is_market:
            eur["trade"] = injected_kw * price * (model.dt_h / KWH_PER_MWH)
        if self.meter is not None:
            net_kw = output.p_kw @ jnp.asarray(self.meter, output.p_kw.dtype)
            drawn_kw = jnp.sum(jnp.maximum(-net_kw, 0.0), axis=-1)
            eur["grid_fee"] = -drawn_kw * (self.tariff.grid_fee_eur_kwh * model.dt_h)
        if output.supply is not None:
            eur["unserved"] = -self.tariff.voll_eur_kwh * terms.unserved_kwh(output.supply.unserved_kw, model.dt_h)
        if self.programme is not None:
            eur[EUR_LINE] = self.programme.eur(model, state, output)
        for group, ledger in zip(model.groups, output.ledgers, strict=True):
            for i, name in enumerate(group.family.eur_lines):
                eur[name] = eur.get(name, 0.0) + jnp.sum(ledger.eur[..., i, :], axis=-1)
        return eur if self.own is None else {**eur, **self.own.eur(model, state, output)}

    def _unit_eur(self, model: GridModel, state: GridState, output: GridOutput) -> Float[Array, "*batch unit"]:
        """EUR of every unit: its own lines, and its trade at the day-ahead price where there is a market."""
        price = sample(model.scenario, state.t)[..., model.scenario.column(PRICE_NAME)]
        parts = []
        first = model.loads.p_weight_kw.shape[1]
        for group, ledger in zip(model.groups, output.ledgers, strict=True):
            own = jnp.sum(ledger.eur, axis=-2)
            if group.family.moves is None:
                row = slice(first, first + len(group.names))
                first = row.stop
                if self.tariff.is_market:
                    traded_kw = output.p_kw[..., row] * (1.0 if self.settled is None else self.settled[row])
                    own = own + traded_kw * price[..., None] * (model.dt_h / KWH_PER_MWH)
            parts.append(own)
        return jnp.concatenate(parts, axis=-1)

    def _key_figures(
        self, model: GridModel, output: GridOutput, v_pu: Float[Array, "*batch node"]
    ) -> dict[str, Float[Array, "*batch"]]:
        kw = {"source": output.source_p_kw, "load": output.load_p_kw, "loss": -output.loss_kw}
        low_pu = high_pu = v_pu
        if output.supply is not None:
            live, missed_kw = output.supply.energised, output.supply.unserved_load_kw
            kw |= {"load": output.load_p_kw - missed_kw, "unserved": missed_kw}
            low_pu, high_pu = (jnp.where(live, v_pu, beyond) for beyond in (jnp.inf, -jnp.inf))
            v_pu = jnp.where(live, v_pu, 1.0)
        kpi = {f"kwh.{name}": value * model.dt_h for name, value in kw.items()}
        for group, ledger in zip(model.groups, output.ledgers, strict=True):
            for i, name in enumerate(group.family.energy_lines):
                key = f"kwh.{name}"
                kpi[key] = kpi.get(key, 0.0) + jnp.sum(ledger.energy_kwh[..., i, :], axis=-1)
        return kpi | {
            "v_min_pu": jnp.min(low_pu, axis=-1),
            "v_max_pu": jnp.max(high_pu, axis=-1),
            "v_band_share": terms.v_band_share(v_pu),
            "line_loading_max": jnp.max(output.line_loading, axis=-1, initial=0.0),
            "transformer_loading_max": jnp.max(output.transformer_loading, axis=-1, initial=0.0),
        }


def _thermal(model: GridModel, output: GridOutput) -> Float[Array, "*batch"]:
    return terms.thermal_pu_h(output.line_loading, model.dt_h) + terms.thermal_pu_h(
        output.transformer_loading, model.dt_h
    )
