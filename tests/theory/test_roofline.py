"""The roofline against sums by hand."""

import jax
import jax.numpy as jnp
import pytest

from capax.errors import CapaxError
from capax.theory import roofline
from capax.theory.roofline import Device

SLOW = Device("slow", {"fp32": 1e9}, 1e6, 1e-3, "made up", caches=((1000.0, 1e8),))


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_a_product_takes_the_longer_of_its_operations_and_its_bytes_and_its_launch():
    found = roofline.regions(lambda a, b: a @ b, shape(100, 200), shape(200, 300))
    moved = 4 * (100 * 200 + 200 * 300 + 100 * 300)
    assert [(r.bytes, r.products, r.times) for r in found] == [(moved, 1, 1)]
    assert roofline.traffic(found) == moved
    work = 2 * 100 * 200 * 300 / 1e9
    assert work < moved / 1e6
    assert roofline.seconds(found, SLOW) == pytest.approx(moved / 1e6 + 1e-3)
    quick = Device("quick", {"fp32": 1e9}, 1e12, 0.0, "made up")
    assert roofline.seconds(found, quick) == pytest.approx(work)


def test_steps_of_a_loop_come_one_after_the_other_and_read_their_weights_from_a_cache_that_holds_them():
    def loop(w, x):
        return jax.lax.scan(lambda h, x: (jnp.tanh(w @ h + x), None), jnp.zeros((8,)), x)[0]

    found = roofline.regions(loop, shape(8, 8), shape(50, 8))
    (step,) = [region for region in found if region.times == 50]
    moved = 4 * (64 + 8 + 8)
    assert (step.products, step.bytes, step.working_set) == (1, moved, moved)
    assert (step.operations.products, step.operations.elementwise, step.operations.functions) == (128, 8, 8)
    assert step.seconds(SLOW, "fp32") == pytest.approx(50 * (max(144 / 1e9, moved / 1e8) + 1e-3))


def test_the_textbook_s_batch_at_two_percent_of_the_peak():
    # 313.6 MFLOP at 2% of 312 TFLOP/s take .05 ms (spec T5)
    assert 313.6e6 / (0.02 * roofline.device("a100").peak("fp16")) == pytest.approx(0.05e-3, rel=0.01)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: roofline.device("h10"), r"unknown device 'h10' \(did you mean 'h100'\?\)"),
    (lambda: roofline.device("a100").peak("fp8"), "a100 has no peak for fp8; it has fp32, tf32, fp16, bf16"),
])  # fmt: skip
def test_an_unknown_device_or_precision_is_said_in_one_line(call, said):
    with pytest.raises(CapaxError, match=said):
        call()
