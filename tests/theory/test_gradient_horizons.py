"""What is left of gradients after many steps: the textbook's numbers (spec T2)."""

import math

import pytest

from capax.errors import CapaxError
from capax.theory.gradients import LARGEST, SMALLEST_NORMAL, explosion, horizon, remaining


@pytest.mark.parametrize(("factor", "left"), [(0.95, 0.0059), (0.9, 2.7e-5), (1.05, 131.5), (1.1, 13_781.0)])
def test_what_is_left_after_a_hundred_steps(factor, left):
    assert remaining(factor, 100) == pytest.approx(left, rel=0.02)
    assert remaining(factor, 100) == pytest.approx(math.exp(100 * math.log(factor)), rel=1e-12)


def test_half_a_step_falls_out_of_fp32_after_127_steps_and_out_of_fp64_after_1023():
    assert horizon(0.5) == horizon(0.5, limit=1e-38) == 127
    assert horizon(0.9 * 0.5) == horizon(0.9 * 0.5, limit=1e-38) == 110
    # the source says .5^512 = 1e-154 is below FP64's range, which it is not
    assert remaining(0.5, 512) > SMALLEST_NORMAL["fp64"] and horizon(0.5, "fp64") == 1023
    assert remaining(0.5, 1022) == SMALLEST_NORMAL["fp64"]


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("factor", [0.01, 0.37, 0.5, 0.99, 1.01, 2.0, 50.0])
def test_the_first_step_beyond_and_none_before(precision, factor):
    log, bounds = math.log(factor), (math.log(SMALLEST_NORMAL[precision]), math.log(LARGEST[precision]))
    small, large = horizon(factor, precision), explosion(factor, precision)
    assert (small is None) == (factor > 1) and (large is None) == (factor < 1)
    if small is not None:
        assert small * log < bounds[0] + 1e-9 and (small - 1) * log >= bounds[0] - 1e-9
    if large is not None:
        assert large * log > bounds[1] - 1e-9 and (large - 1) * log <= bounds[1] + 1e-9


def test_factors_at_the_edges():
    assert horizon(1.0) is None and explosion(1.0) is None and horizon(0.0) == 1
    assert remaining(1.5, 10_000) == math.inf
    with pytest.raises(CapaxError, match="finite number of at least 0"):
        horizon(-0.5)
    for call in (lambda: horizon(math.nan), lambda: explosion(-2.0), lambda: horizon(0.5, limit=0.0)):
        with pytest.raises(CapaxError):
            call()
    with pytest.raises(CapaxError, match="unknown precision 'fp31'"):
        horizon(0.5, "fp31")
