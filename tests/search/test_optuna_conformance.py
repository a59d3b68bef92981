"""Our samplers under Optuna's own conformance tests (optuna.testing.pytest_samplers)."""

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from capax.search.bandit import GaussianProcessBandit
from capax.search.random import SeededRandom


class TestBandit(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: GaussianProcessBandit(seed=0)


class TestBanditThatUsesItsModelAtOnce(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: GaussianProcessBandit(seed=0, n_startup=2)


class TestSeededRandom(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: SeededRandom(0)
