"""What holds for every test: shapes and types are checked at each call, and ranks are never
promoted silently.
"""

import os
from pathlib import Path

from capax.training import backend

# The tests compile about 17,000 programs, half of their time. Those are kept for the next run,
# beside pytest's own cache, by what they compute; `make clean` removes them.
os.environ["CAPAX_CACHE"] = str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.03")
backend.configure()  # before NumPy and JAX are loaded, as the command line does it

import jax  # noqa: E402
import jaxtyping  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# Must come before any other import of capax: only modules imported after the hook are checked.
jaxtyping.install_import_hook("capax", "beartype.beartype")
