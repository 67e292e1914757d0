"""Volt-var control on a feeder of your own: from pandapower to the score of a trained agent."""

import argparse
from itertools import pairwise

import pandapower as pp

import gridenv
from gridenv.tasks.units.inverters import InverterConfig
from gridenv.tasks.volt_var import VoltVarConfig

FILE = "my_feeder.json"


def build() -> pp.pandapowerNet:
    """A village street; any other radial or meshed network will do."""
    net = pp.create_empty_network(name="my feeder")
    grid, *street = [pp.create_bus(net, vn_kv) for vn_kv in (20.0, *[0.4] * 9)]
    pp.create_ext_grid(net, grid, vm_pu=1.01)
    pp.create_transformer(net, grid, street[0], "0.25 MVA 20/0.4 kV")
    for here, there in pairwise(street):
        pp.create_line(net, here, there, length_km=0.08, std_type="NAYY 4x150 SE")
        pp.create_load(net, there, p_mw=0.03, q_mvar=0.01)
    return net


@gridenv.register_task("VoltVar-MyFeeder-v0")
class MyFeeder(VoltVarConfig):
    """Three roofs hold the voltages of my feeder at least loss."""

    network: str = FILE
    source_v_pu: float | None = None
    load_scale: float = 2.5
    inverters: tuple[InverterConfig, ...] = (
        InverterConfig(bus="4", p_dc_kw=100.0, profile="PV1"),
        InverterConfig(bus="7", p_dc_kw=100.0, profile="PV3"),
        InverterConfig(bus="9", p_dc_kw=100.0, profile="PV5"),
    )


def main() -> None:
    """Compare the power flow, train on the feeder and score the agent on the test days."""
    from experiments.config import compose
    from experiments.results import evaluate_runs
    from experiments.train import train

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=1e6)
    parser.add_argument("--against", nargs="*", default=["none", "rule", "oracle"])
    options = parser.parse_args()
    net = build()
    pp.to_json(net, FILE)
    pp.runpp(net)
    flow = gridenv.PowerFlow(FILE)
    solution = flow.solve(flow.default_p_kw, flow.default_q_kvar)
    print(f"lowest voltage: {abs(solution.v_pu).min():.5f} pu, pandapower {net.res_bus.vm_pu.min():.5f} pu")
    learner = ["agent=ppo", f"agent.total_steps={options.steps}", "agent.gamma=0"]
    runs = train(compose(["task=VoltVar-MyFeeder-v0", *learner, f"evaluation.against={options.against}"]))
    for controller in evaluate_runs([run.folder for run in runs], None, None)[1].controllers:
        score = f", score {controller.score.mean:.2f}" if controller.score else ""
        print(f"{controller.name}: {controller.return_eur.mean:,.2f} EUR a day{score}")


if __name__ == "__main__":
    main()
