"""Networks here are small and hardly trained: compiling without optimisation takes less time."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # processes that a test starts
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
