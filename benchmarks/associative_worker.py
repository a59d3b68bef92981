"""A JAX peer of population.py: the LRU by jax.lax.associative_scan in complex numbers, one trial in
one thread.

python associative_worker.py WORKLOAD CELL START.npz
"""

import json
import os
import resource
import sys
import time
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false --xla_cpu_prefer_vector_width=512"

import jax
import jax.numpy as jnp
import numpy as np
import optax


def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
    """Mean over steps and samples of the squared error; x is (t, i, b), y (t, o, b)."""
    lam = jnp.exp(-jnp.exp(p["w_nu0"]) + 1j * jnp.exp(p["w_theta0"]))[:, None]
    B = jnp.exp(p["w_gamma0"])[:, None] * (p["B_real0"] + 1j * p["B_imaginary0"])
    drive = jnp.einsum("ni,tib->tnb", B, x)
    initial = p["initial0"][0] + 1j * p["initial0"][1]
    drive = drive.at[0].add(lam * initial[:, None])

    def join(earlier: Any, later: Any) -> Any:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    h = jax.lax.associative_scan(join, (jnp.broadcast_to(lam, (x.shape[0], *lam.shape)), drive))[1]
    outputs = jnp.einsum("nm,tmb->tnb", p["C_real0"], h.real) - jnp.einsum("nm,tmb->tnb", p["C_imaginary0"], h.imag)
    outputs = outputs + jnp.einsum("ni,tib->tnb", p["D0"], x)
    outputs = jnp.einsum("on,tnb->tob", p["readout"], outputs) + p["readout_bias"][:, None]
    return jnp.sum((outputs - y) ** 2) / (x.shape[0] * x.shape[2])


def main() -> None:
    start = dict(np.load(sys.argv[3]))
    x, y, rate = (jnp.asarray(start.pop(name)) for name in ("x", "y", "learning_rate"))
    first = {name: jnp.asarray(value) for name, value in start.items()}
    adam = optax.adam(rate)

    @jax.jit
    def advance(p: Any, state: Any) -> Any:
        updates, state = adam.update(jax.grad(loss)(p, x, y), state)
        return optax.apply_updates(p, updates), state

    began = time.perf_counter()
    p, state = jax.block_until_ready(advance(first, adam.init(first)))
    print(json.dumps({"compile_seconds": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["restart"]:
            p, state = first, adam.init(first)
        for _ in range(order["steps"]):
            p, state = advance(p, state)
        jax.block_until_ready(p)
        value = float(loss(p, x, y)) if order["restart"] else None
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"loss": value, "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
