"""Settings of the compiler and of linear algebra that must be made before their first use."""

import os
import sys
import warnings
from pathlib import Path

from capax.errors import CapaxWarning
from capax.files import cache_directory
from capax.training.processor import fingerprint

FLAGS = {
    # One thread per computation on a CPU: a lane of the engine runs on each core instead, and a
    # matrix product is never split in a way that depends on the load, so that results do not.
    "xla_cpu_multi_thread_eigen": "false",
    # Measured: 5% faster on a CPU with 512-bit vectors, no effect elsewhere.
    "xla_cpu_prefer_vector_width": "512",
    # JAX 0.10.2 gives some sums on a CPU to a library that gets them wrong:
    # docs/decisions/jax-sums.md.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # With the default, 11:9, JAX 0.10.2 runs out of memory compiling some small products:
    # docs/decisions/small-products.md.
    "xla_backend_extra_options": "xla_llvm_ir_gemm_tile_size=4:8:1*vectwidth",
}
PRECISION = "JAX_DEFAULT_MATMUL_PRECISION"
RIGHT_SUMS = "xla_cpu_experimental_ynn_fusion_type"
ROWS = 40_001
"""A batch at which JAX 0.10.2 without the last flag gives wrong sums."""


def configure() -> None:
    """Set the flags, except those that the user has set. Call it before JAX computes anything.

    Where JAX has been loaded before, the flags may come too late. Then one of the sums that JAX
    0.10.2 gets wrong without them is tried, and a wrong result is a warning of one line.

    Compiled programs are kept in the cache directory, apart for each kind of processor, if the
    directory belongs to the user and nobody else can write it. The tuner's linear algebra gets one
    thread: its matrices are small, and the cores are busy with trials.

    Matrix products are of float32 on accelerators, too, whose own choice has 10 bits of mantissa
    (TF32); nothing changes on a CPU. JAX_DEFAULT_MATMUL_PRECISION=tensorfloat32 asks for speed.
    """
    _choose_precision()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    missing = set_flags(*FLAGS)
    programs = cache_directory() / f"programs-{fingerprint()}"
    if _writable(programs):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(programs))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    if missing and "jax" in sys.modules and not sums_are_right():
        warnings.warn(
            "this version of JAX gives some sums wrong, and was used before capax could tell it not to; "
            f"import capax first, or set XLA_FLAGS=--{RIGHT_SUMS}= before Python starts.",
            CapaxWarning,
            stacklevel=2,
        )


def _choose_precision() -> None:
    """Unless the user has, by the environment or in JAX's configuration."""
    if PRECISION in os.environ:
        return
    if "jax" in sys.modules:  # it has read the environment
        import jax

        if jax.config.values["jax_default_matmul_precision"] is not None:
            return
        jax.config.update("jax_default_matmul_precision", "highest")
    os.environ[PRECISION] = "highest"


def set_flags(*names: str) -> list[str]:
    """Set flags of `FLAGS` that the environment does not have; returns those that are new."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    missing = [name for name in names if not any(flag.startswith(f"--{name}") for flag in flags)]
    os.environ["XLA_FLAGS"] = " ".join([*flags, *(f"--{name}={FLAGS[name]}" for name in missing)])
    return missing


def sums_are_right() -> bool:
    """Whether JAX computes |W x|^2 for each row x of a large batch as NumPy does
    (jax-ml/jax#39103)."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(0)
    W = random.normal(size=(3, 3)).astype(np.float32)
    X = random.normal(size=(ROWS, 3)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda row: jnp.sum(jnp.dot(W, row) ** 2)))(X)
    return bool(np.allclose(found, np.sum((X.astype(np.float64) @ W.T.astype(np.float64)) ** 2, axis=1), rtol=1e-4))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    return folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o022 and os.access(folder, os.W_OK)
