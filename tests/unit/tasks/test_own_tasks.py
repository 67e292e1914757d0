"""Tasks of users: registered, with money and costs of their own, and found again by other processes."""

import pickle
import sys

import gymnasium
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import gridenv
from gridenv.adapters.program import program
from gridenv.adapters.rllib import RllibMaker
from gridenv.core.errors import ConfigError
from gridenv.tasks.grid_config import CostWeights
from gridenv.tasks.registry import TASKS, full_task_id, settings_of, task_id
from gridenv.tasks.storage import StorageConfig
from gridenv.tasks.volt_var import VoltVarConfig
from tests.own_tasks import forgotten

ID = "Mine-IEEE33-v0"
FILE = f"""
import gridenv
from gridenv.tasks.volt_var import VoltVarConfig

@gridenv.register_task("{ID}")
class Mine(VoltVarConfig):
    '''Mine.'''
    load_scale: float = 2.0
"""


@pytest.fixture(autouse=True)
def _registries():
    with forgotten():
        yield


class _Weights(CostWeights):
    deep: float = 7.0


class _Fees(VoltVarConfig):
    """Import above a limit costs, and so do low voltages."""

    steps_per_episode: int = 4
    limit_kw: float = 1000.0
    cost_weights: CostWeights = _Weights()

    def further_eur(self, model, state, output):
        return {"peak": -0.5 * jnp.maximum(output.source_p_kw - self.limit_kw, 0.0) * model.dt_h}

    def further_costs(self, model, state, output):
        return {"deep": jnp.maximum(1.0 - output.v_pu.min(axis=-1), 0.0), "free": jnp.ones(output.source_p_kw.shape)}


def test_own_money_and_costs_are_part_of_reward_and_infos_in_every_form() -> None:
    gridenv.register_task(ID)(_Fees)
    env, params = gridenv.make(ID, limit_kw=500.0)
    assert env.cost_names == ("v_band", "thermal", "deep", "free", "pf_fail")
    start, action = params.starts[:2] + 70, jnp.zeros((2, env.n_action))
    state = env.reset_at(start, params)[1]
    t = jax.jit(env.advance)(state, action, params)
    fee = -0.5 * np.maximum(np.asarray(t.output.source_p_kw) - 500.0, 0.0) * 0.25
    deep = np.maximum(1.0 - np.asarray(t.output.v_pu).min(axis=-1), 0.0)
    assert (fee < -100.0).all()
    assert (deep > 0.0).all()
    kpi, cost = t.info["kpi"], np.asarray(t.info["cost"])
    np.testing.assert_allclose(kpi["eur.peak"], fee, rtol=1e-6)
    np.testing.assert_allclose(cost[:, 2], deep, rtol=1e-6)
    np.testing.assert_array_equal(cost[:, 3:], [[1.0, 0.0]] * 2)
    np.testing.assert_allclose(
        t.info["economic_eur"], kpi["eur.loss"] + kpi["eur.inverter_curtailment"] + fee, rtol=1e-6
    )
    # `free` has no weight, so it is told and not charged.
    charged = 500.0 * cost[:, 0] + 200.0 * cost[:, 1] + 7.0 * deep
    np.testing.assert_allclose(t.reward, t.info["economic_eur"] - charged, rtol=1e-5)
    single = gymnasium.make(f"gridenv/{ID}", limit_kw=500.0)
    single.reset(options={"start_step": int(start[0])})
    _, reward, *_, info = single.step(np.zeros(env.n_action, np.float32))
    assert reward == pytest.approx(float(t.reward[0]), rel=1e-5)
    assert info["kpi"]["eur.peak"] == pytest.approx(fee[0], rel=1e-5)


class _Unsorted(VoltVarConfig):
    """Names its costs in no order."""

    steps_per_episode: int = 4

    def further_costs(self, model, state, output):
        one = jnp.ones(output.source_p_kw.shape)
        return {"zebra": 3.0 * one, "ant": one, "mule": 2.0 * one}


def test_own_costs_stand_under_their_own_names_in_whatever_order_they_are_given() -> None:
    gridenv.register_task(ID)(_Unsorted)
    env, params = gridenv.make(ID)
    state = env.reset_at(params.starts[:2] + 70, params)[1]
    t = jax.jit(env.advance)(state, jnp.zeros((2, env.n_action)), params)
    named = dict(zip(env.cost_names, np.asarray(t.info["cost"]).T, strict=True))
    assert {name: named[name].tolist() for name in ("ant", "mule", "zebra")} == {
        "ant": [1.0, 1.0],
        "mule": [2.0, 2.0],
        "zebra": [3.0, 3.0],
    }


def test_settings_as_an_object_or_a_file_make_a_task(tmp_path) -> None:
    gridenv.register_task(ID)(_Fees)
    (tmp_path / "mine.yaml").write_text(f"id: {ID}\nlimit_kw: 700.0\n")
    for task in (_Fees(limit_kw=700.0), str(tmp_path / "mine.yaml")):
        name, config = settings_of(task, {"split": "test"})
        assert (name, config) == (ID, _Fees(limit_kw=700.0, split="test"))
        assert program(task, {"split": "test"}) is program(ID, {"limit_kw": 700.0, "split": "test"})
    assert gridenv.make(VoltVarConfig(load_scale=2.0))[0].id == "VoltVar-IEEE33-v0"


def test_settings_that_no_task_is_registered_for_and_files_without_id_are_refused(tmp_path) -> None:
    with pytest.raises(
        ConfigError, match=r"task: _Fees is not registered; .*put @gridenv.register_task\('MyTask-v0'\)"
    ):
        gridenv.make(_Fees())
    (tmp_path / "mine.yaml").write_text("limit_kw: 700.0\n")
    with pytest.raises(ConfigError, match=r"mine.yaml': id is None; allowed: the id of a task; write `id: NAME`"):
        gridenv.make(str(tmp_path / "mine.yaml"))


def test_registering_again_replaces_a_task_of_ones_own() -> None:
    gridenv.register_task(ID, summary="first")(StorageConfig)
    gridenv.register_task(f"gridenv/{ID}")(_Fees)
    assert TASKS[ID].summary == "Import above a limit costs, and so do low voltages."
    assert gridenv.make(ID)[0].cost_names[2] == "deep"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mine", "register_task: id is 'Mine'; allowed: a name and a version, such as 'MyTask-v0'"),
        ("VoltVar-IEEE33-v0", "'VoltVar-IEEE33-v0' is a task of the library; allowed: ids that are free"),
    ],
)
def test_ids_that_cannot_be_registered_are_refused(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        gridenv.register_task(name)


def test_what_are_no_settings_of_a_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=rf"'{ID}' is given .*CostWeights'>; allowed: a subclass of GridTaskConfig"):
        gridenv.register_task(ID)(CostWeights)
    assert ID not in TASKS


def _with(**terms):
    class Bad(VoltVarConfig):
        """Bad."""

        def further_eur(self, model, state, output):
            return terms["eur"](output) if "eur" in terms else {}

        def further_costs(self, model, state, output):
            return terms["costs"](output) if "costs" in terms else {}

    return Bad


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"eur": lambda o: {"loss": -o.loss_kw}}, "further_eur has 'loss', which is there already"),
        ({"costs": lambda o: {"v_band": o.loss_kw}}, "further_costs has 'v_band', which is there already"),
        ({"costs": lambda o: {"low": o.v_pu}}, r"further_costs 'low' has shape \(2, 33\) where the batch is \(2,\)"),
        ({"eur": lambda o: {"loss_of": o.lost_kw}}, r"further_eur fails \(AttributeError: .*lost_kw"),
        ({"eur": lambda o: o.loss_kw}, r"further_eur returns a .*; allowed: a dict"),
    ],
)
def test_terms_that_do_not_fit_are_one_clear_error(terms: dict, expected: str) -> None:
    gridenv.register_task(ID)(_with(**terms))
    with pytest.raises(ConfigError, match=expected) as error:
        gridenv.make(ID)
    assert len(str(error.value).splitlines()) == 1


def test_another_process_finds_a_task_by_the_file_or_module_before_its_id(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_own_tasks.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    assert task_id(f"my_own_tasks.py:{ID}") == ID
    assert full_task_id(ID) == f"my_own_tasks.py:{ID}"
    kind = TASKS[ID].config
    assert task_id(f"{tmp_path}/my_own_tasks.py:gridenv/{ID}") == ID
    assert TASKS[ID].config is kind  # the same file is not run again
    assert gymnasium.spec(f"gridenv/{ID}").kwargs == {"task_id": f"my_own_tasks.py:{ID}"}
    with forgotten():
        del TASKS[ID]
        assert task_id(f"my_own_tasks:{ID}") == ID
        assert full_task_id(ID) == f"my_own_tasks:{ID}"
        sys.modules.pop("my_own_tasks")
    assert not any(path == str(tmp_path) for path in sys.path)


def test_finding_a_module_leaves_the_path_in_its_order(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    with pytest.raises(ConfigError, match="there is no module"):
        task_id("no_such_module:Mine-v0")
    assert sys.path == before


def test_env_runners_get_a_task_that_only_a_file_registers(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_own_tasks.py").write_text(FILE)
    maker = pickle.loads(pickle.dumps(RllibMaker(f"{tmp_path}/my_own_tasks.py:{ID}", {"steps_per_episode": 4})))
    made = maker({"num_envs": 2})
    assert made.functional.id == ID


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere.py:Mine-v0", "task 'nowhere.py:Mine-v0': there is no file 'nowhere.py'"),
        ("no_such_module:Mine-v0", "there is no module 'no_such_module'; allowed: one on the path or in the working"),
        ("not a module:Mine-v0", "'not a module' cannot be imported; allowed: a module, or a file that ends in .py"),
        ("broken.py:Mine-v0", r"'broken.py' fails while it is imported \(ZeroDivisionError: division by zero\)"),
        ("empty.py:Mine-v0", "unknown task 'empty.py:Mine-v0'"),
        ("Zebra", "name a task of your own with its module or file before it: 'my_tasks.py:Zebra'"),
    ],
)
def test_tasks_that_cannot_be_found_say_why(name: str, expected: str, tmp_path, monkeypatch) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=expected) as error:
        task_id(name)
    assert len(str(error.value).splitlines()) == 1
