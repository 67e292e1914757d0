"""What all learners are tested with."""

import pytest

from gridenv.tasks.env import EnvParams
from gridenv.tasks.registry import make


@pytest.fixture(scope="session")
def env_params() -> EnvParams:
    return make("VoltVar-IEEE33-v0")[1]
