"""Settings of the compiler that must be made before JAX's first computation."""

import os

SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false"


def configure() -> None:
    """One thread per computation on a CPU: a lane of the engine runs on each core instead, and a matrix product is never
    split in a way that depends on the load, so that results do not. No effect once JAX has computed anything."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {SINGLE_THREADED}".strip()
