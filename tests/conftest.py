"""What holds for every test: shapes and types are checked at each call, ranks are never promoted
silently, and what is slow or a case among many is left to `make test ALL=1`.
"""

import os
import zlib
from pathlib import Path

from capax.training import backend

# The tests compile about 17,000 programs, half of their time. Those are kept for the next run,
# beside pytest's own cache, by what they compute; `make clean` removes them.
os.environ["CAPAX_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.03")
backend.configure()  # before NumPy and JAX are loaded, as the command line does it

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# Must come before any other import of capax: only modules imported after the hook are checked.
jaxtyping.install_import_hook("capax", "beartype.beartype")

from tests.postgresql import postgresql  # noqa: E402, F401

MAPPED = Path("/proc/self/maps")
MOST_MAPPED = 5_000
"""A compiled program holds about a dozen regions of memory, and Linux gives a process 65,530."""


@pytest.fixture(autouse=True, scope="module")
def _programs_do_not_pile_up():
    yield
    if MAPPED.exists() and MAPPED.read_bytes().count(b"\n") > MOST_MAPPED:
        jax.clear_caches()


HARDLY_TRAINED = {"estimators", "fitting"}
"""Folders of tests whose networks are small: compiling without optimisation takes less time."""


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly(request):
    if request.path.parent.name not in HARDLY_TRAINED:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # processes that a test starts
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


def pytest_addoption(parser):
    parser.addoption(
        "--all", action="store_true", help="run what is marked `slow`, and every case of what is marked `grid`"
    )


@pytest.hookimpl(trylast=True)  # behind -k and -m, which have a say first
def pytest_collection_modifyitems(config, items):
    """Tests marked `slow` go, and of a test marked `grid(keep=N)` N cases at even distances stay.

    Where the first of them stands follows from the name of the test, so that tests with the same
    grid do not all leave out the same cases.
    """
    if config.getoption("--all"):
        return
    grids = {}
    for item in items:
        if item.get_closest_marker("grid"):
            grids.setdefault((item.path, item.originalname), []).append(item)
    left = {item for item in items if item.get_closest_marker("slow")}
    for (_, name), cases in grids.items():
        keep = cases[0].get_closest_marker("grid").kwargs["keep"]
        first = zlib.crc32(name.encode()) % len(cases)
        kept = {(first + len(cases) * k // keep) % len(cases) for k in range(keep)}
        left.update(case for k, case in enumerate(cases) if k not in kept)
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]
