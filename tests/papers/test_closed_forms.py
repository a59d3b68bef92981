"""The closed forms behind figures of Zucchet & Orvieto 2024 that need no network."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "papers" / "zucchet2024" / "closed_forms.py"


@pytest.fixture
def closed_forms():
    spec = importlib.util.spec_from_file_location("closed_forms", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with jax.enable_x64(True):
        yield module


def sampled(rho, number=400_000):
    """The share by points that are uniform in the disc, and its standard error.

    S(a, b) = (1 - rho^2 a b) / ((1 - rho a)(1 - rho b)(1 - a b)), from R(D) = rho^|D|; its mixed
    derivative by finite differences of dS/da = S (1/(1 - rho a) + b/(1 - a b) - rho^2 b/(1 - rho^2
    a b)).
    """

    def slope(a, b):
        s = (1 - rho**2 * a * b) / ((1 - rho * a) * (1 - rho * b) * (1 - a * b))
        return s * (rho / (1 - rho * a) + b / (1 - a * b) - rho**2 * b / (1 - rho**2 * a * b))

    def mixed(a, b, h=1e-7):
        return (slope(a, b + h) - slope(a, b - h)) / (2 * h)

    random = np.random.default_rng(0)
    lam = 0.999 * np.sqrt(random.uniform(size=number)) * np.exp(2j * np.pi * random.uniform(size=number))
    at = 0.99 * np.exp(1j * np.pi / 4)
    share = np.mean(np.abs(mixed(lam, at.conj())) > 0.01 * np.abs(mixed(at, at.conj())))
    return share, np.sqrt(share * (1 - share) / number)


@pytest.mark.parametrize(("rho", "share"), [(0.0, 0.00356), (0.9, 0.00357), (0.99, 0.01236), (0.999, 0.0936)])
def test_the_share_of_the_disc_is_that_of_points_drawn_at_random(closed_forms, rho, share):
    found = closed_forms.share_of_disc(rho)
    assert found == pytest.approx(share, rel=5e-3)  # on a grid of 2,000 by 2,000
    expected, error = sampled(rho)
    assert abs(found - expected) < 3 * error
