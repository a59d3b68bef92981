"""Where compiled programs are kept, and that flags of the user's own stay."""

import os
import subprocess
import sys

import pytest

from capax.training import backend


@pytest.fixture
def clean(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "XLA_FLAGS"):
        monkeypatch.setenv(name, "x")  # so that it is restored
        monkeypatch.delenv(name)


def test_a_folder_that_others_can_write_is_left_alone(tmp_path, monkeypatch, clean):
    monkeypatch.setenv("CAPAX_CACHE", str(tmp_path))
    backend.configure()
    folder = os.environ.pop("JAX_COMPILATION_CACHE_DIR")
    assert folder.startswith(str(tmp_path / "programs-"))
    os.chmod(folder, 0o777)
    backend.configure()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_no_cache_where_none_can_be(monkeypatch, clean):
    monkeypatch.setenv("CAPAX_CACHE", os.devnull)
    backend.configure()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_flags_of_the_user_stay(monkeypatch, clean):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
    backend.configure()
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_prefer_vector_width=256 --xla_cpu_multi_thread_eigen=false"


PROGRAM = """
from capax.training import backend
backend.configure()
import jax, jax.numpy as jnp
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(float(jax.jit(lambda x: jnp.tanh(x).sum())(jnp.arange(5.0))))
"""


def test_a_second_process_takes_compiled_programs_from_the_cache(tmp_path):
    environment = {**os.environ, "CAPAX_CACHE": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-c", PROGRAM]
    first = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("programs-*/*-cache")}
    assert kept
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (first.stdout, second.stderr) == (second.stdout, "")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("programs-*/*-cache")} == kept
