"""What holds for every test: shapes and types are checked at each call, and ranks are never
promoted silently.
"""

from capax.training import backend

backend.configure()  # before NumPy and JAX are loaded, as the command line does it

import jax  # noqa: E402
import jaxtyping  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# Must come before any other import of capax: only modules imported after the hook are checked.
jaxtyping.install_import_hook("capax", "beartype.beartype")
