"""Compiles C++ on this machine and registers the result with XLA.

Compiled kernels are kept in the user's cache.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import jax

from capax.files import cache_directory
from capax.fused.refusal import Refusal

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-math-errno", "-w")
_LOCK = threading.Lock()
_LOADED: dict[str, ctypes.CDLL] = {}


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first of c++, g++, clang++ on the path; None without one."""
    named = os.environ.get("CXX")
    return next(
        (found for name in ([named] if named else ["c++", "g++", "clang++"]) if (found := shutil.which(name))), None
    )


@functools.cache
def _machine() -> str:
    """What a compiled kernel depends on beside its source: compiler, processor, JAX's interface."""
    found = compiler()
    assert found is not None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    target = subprocess.run(
        [found, "-march=native", "-E", "-v", "-x", "c++", os.devnull], capture_output=True, text=True
    ).stderr
    features = "\n".join(line for line in target.splitlines() if "march" in line or "cc1plus" in line)
    runtime = (Path(__file__).parent / "runtime.h").read_text(encoding="utf-8")
    return "\n".join([version, features, platform.machine(), jax.__version__, *FLAGS, runtime])


def register(source: str) -> str | Refusal:
    """Compile `source`, whose entry point is `capax_kernel`, and register it with XLA for CPUs.

    Returns the target's name for `jax.ffi.ffi_call`, or a refusal where there is no compiler, or
    where it or the disk fails.
    """
    if compiler() is None:
        return Refusal("there is no C++ compiler")
    try:
        return _register(source)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        return Refusal(f"the C++ compiler failed: {said}")


def _register(source: str) -> str:
    name = "capax_" + hashlib.sha256(f"{source}\n{_machine()}".encode()).hexdigest()[:32]
    with _LOCK:
        if name not in _LOADED:
            library = ctypes.CDLL(str(_compiled(name, source)))
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library.capax_kernel), platform="cpu")
            _LOADED[name] = library
    return name


def _compiled(name: str, source: str) -> Path:
    folder = cache_directory() / "kernels"
    kept = folder / f"{name}.so"
    if _ours(kept):
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _compile(source, kept)
    except (PermissionError, FileExistsError, NotADirectoryError):  # no cache: a folder of this process
        return _compile(source, Path(tempfile.mkdtemp(prefix="capax-")) / f"{name}.so")


def _ours(path: Path) -> bool:
    """Whether a kept file can be trusted: it is this user's, and nobody else may write it.

    Where files have no owner (Windows) the user's own cache folder is trusted.
    """
    if not path.exists():
        return False
    if sys.platform == "win32":
        return True
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _compile(source: str, path: Path) -> Path:
    found = compiler()
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="capax-") as work:
        written, made = Path(work) / "kernel.cpp", Path(work) / "kernel.so"
        written.write_text(source, encoding="utf-8")
        command = [
            found,
            *FLAGS,
            f"-I{jax.ffi.include_dir()}",
            f"-I{Path(__file__).parent}",
            str(written),
            "-o",
            str(made),
        ]
        subprocess.run(command, check=True, capture_output=True, text=True)
        made.chmod(0o700)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        shutil.copy2(made, temporary)
        os.replace(temporary, path)
    return path
