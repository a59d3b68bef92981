"""What holds for every test: shapes and types are checked at each call, and ranks are never promoted silently."""

import jax
import jaxtyping

jax.config.update("jax_numpy_rank_promotion", "raise")

# Must come before the first import of capax: only modules imported after the hook are checked.
jaxtyping.install_import_hook("capax", "beartype.beartype")
