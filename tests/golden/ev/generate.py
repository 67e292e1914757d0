"""Record charging by `Linear2StageBattery` of acnportal; run where acnportal 0.3.3 is installed.

python tests/golden/ev/generate.py, from the root of the checkout, writes linear_2_stage_battery.npz beside this file.
"""

from pathlib import Path

import numpy as np
from acnportal.acnsim.models.battery import Linear2StageBattery

N_CASES = 10_000
SEED = 20_160_101
FULL_SHARE = 0.1
"""Share of the cases that begin within 2 % of full; as many begin empty."""


def draw_cases(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Batteries, states of charge, offered currents and durations, with corners; few digits keep the file small."""
    soc = rng.uniform(0.0, 1.0, N_CASES)
    corner = rng.random(N_CASES)
    soc = np.where(corner < FULL_SHARE, rng.uniform(0.98, 1.0, N_CASES), soc)
    soc = np.where(corner > 1 - FULL_SHARE, 0.0, soc)
    battery_kwh = rng.uniform(5.0, 120.0, N_CASES)
    pilot_a = rng.uniform(0.0, 80.0, N_CASES)
    cases = {
        "battery_kwh": battery_kwh,
        "e_kwh": soc * battery_kwh,
        "p_cc_kw": rng.uniform(1.0, 50.0, N_CASES),
        "transition_soc": np.where(rng.random(N_CASES) < 0.3, 0.8, rng.uniform(0.0, 0.98, N_CASES)),
        "pilot_a": np.where(rng.random(N_CASES) < 0.02, 0.0, pilot_a),
        "voltage_v": rng.choice([120.0, 208.0, 230.0, 240.0, 400.0], N_CASES),
        "minutes": rng.choice([1 / 60, 1.0, 5.0, 15.0, 60.0], N_CASES),
    }
    return {name: column if name == "minutes" else np.round(column, 3) for name, column in cases.items()}


def charge(case: dict[str, float]) -> tuple[float, float]:
    """Mean current (A) and stored energy (kWh) after one period without noise."""
    battery = Linear2StageBattery(
        case["battery_kwh"], case["e_kwh"], case["p_cc_kw"], noise_level=0, transition_soc=case["transition_soc"]
    )
    rate_a = battery.charge(case["pilot_a"], case["voltage_v"], case["minutes"])
    return rate_a, battery._current_charge


def main() -> None:
    """Draw the cases, charge them and write both."""
    cases = draw_cases(np.random.default_rng(SEED))
    results = [charge({name: float(column[i]) for name, column in cases.items()}) for i in range(N_CASES)]
    rate_a, e_after_kwh = np.array(results).T
    target = Path(__file__).parent / "linear_2_stage_battery.npz"
    np.savez_compressed(target, **cases, rate_a=rate_a, e_after_kwh=e_after_kwh)


if __name__ == "__main__":
    main()
