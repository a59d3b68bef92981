"""What holds for every test: shapes and types are checked at each call, and ranks are never
promoted silently.
"""

import atexit
import os
import shutil
import tempfile

from capax.training import backend

if "PYTEST_XDIST_WORKER" not in os.environ:
    # Compiled programs and kernels are kept while the tests run, and no longer; workers share them.
    os.environ["CAPAX_CACHE"] = tempfile.mkdtemp(prefix="capax-tests-")
    atexit.register(shutil.rmtree, os.environ["CAPAX_CACHE"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
backend.configure()  # before NumPy and JAX are loaded, as the command line does it

import jax  # noqa: E402
import jaxtyping  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# Must come before any other import of capax: only modules imported after the hook are checked.
jaxtyping.install_import_hook("capax", "beartype.beartype")
