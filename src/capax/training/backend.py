"""Settings of the compiler and of linear algebra that must be made before their first use."""

import hashlib
import os
import platform
from pathlib import Path

from capax.files import cache_directory

FLAGS = {
    # One thread per computation on a CPU: a lane of the engine runs on each core instead, and a matrix product is never
    # split in a way that depends on the load, so that results do not.
    "xla_cpu_multi_thread_eigen": "false",
    # Measured: 5% faster on a CPU with 512-bit vectors, no effect elsewhere.
    "xla_cpu_prefer_vector_width": "512",
}


def configure() -> None:
    """Set the flags, but for those that the user has set. No effect on what has been loaded before.

    Programs that took a while to compile are kept in the cache directory, apart for each kind of processor; a directory
    that cannot be written, or that others can write, is left alone. The tuner's linear algebra gets one thread, too: its
    matrices are small, and the cores are busy with trials.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    flags = os.environ.get("XLA_FLAGS", "")
    missing = [f"--{name}={value}" for name, value in FLAGS.items() if name not in flags]
    programs = cache_directory() / f"programs-{_processor()}"
    if _writable(programs):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(programs))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    os.environ["XLA_FLAGS"] = " ".join([*([flags] if flags else []), *missing])


def _processor() -> str:
    """What compiled programs depend on: the processor's features where the system tells them, else its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    except OSError:
        told = [platform.machine(), platform.processor()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    ours = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    return ours and not folder.stat().st_mode & 0o022 and os.access(folder, os.W_OK)
