"""Where compiled programs are kept, that flags of the user's own stay, and that sums are right."""

import os
import subprocess
import sys

import pytest

from capax.training import backend


@pytest.fixture
def clean(monkeypatch):
    for name in (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "XLA_FLAGS",
        backend.PRECISION,
    ):
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
    flags = os.environ["XLA_FLAGS"].split()
    assert flags[0] == "--xla_cpu_prefer_vector_width=256"
    assert sorted(flags[1:]) == [
        "--xla_backend_extra_options=xla_llvm_ir_gemm_tile_size=4:8:1*vectwidth",
        "--xla_cpu_experimental_ynn_fusion_type=",
        "--xla_cpu_multi_thread_eigen=false",
    ]
    backend.configure()
    assert os.environ["XLA_FLAGS"].split() == flags


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


SUMS = """
{first}
import capax
import jax, jax.numpy as jnp, numpy as np
random = np.random.default_rng(1)
W = random.normal(size=(3, 3)).astype(np.float32)
for rows in (32769, 40001):
    X = random.normal(size=(rows, 3)).astype(np.float32)
    found = jax.jit(lambda W, X: jax.vmap(lambda r: jnp.sum((W @ r) ** 2))(X))(W, X)
    exact = ((X.astype(np.float64) @ W.T.astype(np.float64)) ** 2).sum(1)
    print(rows, int((abs(np.asarray(found) / exact - 1) > 1e-4).sum()))
a, b = random.normal(size=(2, 3, 1, 2, 2, 8, 8, 8)).astype(np.float32)
found = jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(a, b)
print(bool(np.allclose(found, (a * b).sum(axis=3), atol=1e-5)))
"""


def run_fresh(program):
    """In a process that has no flags but those that capax sets."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("first", ["", "import jax", "from capax.training import backend; backend.configure()"])
def test_sums_that_jax_gets_wrong_by_itself_are_right_under_capax(first):
    """jax-ml/jax#39103 (wrong rows) and #39257 (rank 7 crashes): both seen with JAX 0.10.2 without
    the flag."""
    done = run_fresh(SUMS.format(first=first))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["32769", "0", "40001", "0", "True"]


def test_jax_that_was_used_too_early_is_a_warning_where_it_gives_wrong_sums():
    late = "import jax\njax.numpy.ones(3) + 1\nfrom capax.training import backend\nbackend.configure()\n"
    done = run_fresh(late + "print(backend.sums_are_right())")
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stderr.splitlines() if "gives some sums wrong" in line]
    assert len(warned) == (0 if done.stdout.strip() == "True" else 1)
    early = run_fresh("import jax\nfrom capax.training import backend\nbackend.configure()")
    assert (early.returncode, early.stderr) == (0, "")


SMALL_PRODUCTS = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (6_000_000_000, 6_000_000_000))
from capax.training import backend
backend.configure()
import jax, jax.numpy as jnp
jax.config.update("jax_enable_compilation_cache", False)
for m, k, n in ((20, 15, 15), (21, 14, 14), (16, 16, 28), (20, 16, 12)):
    assert float(jax.jit(jnp.matmul)(jnp.ones((m, k)), jnp.ones((k, n))).sum()) == m * k * n
"""


def test_small_products_compile_in_little_memory():
    """JAX 0.10.2 needs more than 22 GB for some of them (docs/decisions/small-products.md)."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", SMALL_PRODUCTS], env=environment, check=True, timeout=300)


CONFIGURE = "from capax.training import backend; backend.configure()"


@pytest.mark.parametrize(
    ("lines", "own", "due"),
    [
        ((CONFIGURE, "import jax"), None, "highest"),
        (("import jax", CONFIGURE), None, "highest"),
        ((CONFIGURE, "import jax"), "tensorfloat32", "tensorfloat32"),
        (("import jax", "jax.config.update('jax_default_matmul_precision', 'high')", CONFIGURE), None, "high"),
    ],
    ids=["before JAX", "after JAX", "the user's environment", "the user's configuration"],
)
def test_products_are_of_float32_everywhere_unless_the_user_says_otherwise(lines, own, due):
    environment = {name: value for name, value in os.environ.items() if name != backend.PRECISION}
    environment |= {} if own is None else {backend.PRECISION: own}
    program = "\n".join([*lines, "print(jax.config.jax_default_matmul_precision)"])
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == due
