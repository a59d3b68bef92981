"""Sums of columns of a table, chosen by symbols: what a product with one-hot vectors gives, without the product."""

import functools
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from capax.fused import library
from capax.fused.arrays import Unsupported
from capax.fused.code import handler

COLUMNS = 16
"""The batch must be a multiple of this."""

_SIZES = """
auto* const table = (XLA_FFI_Buffer*)frame->args.args[0];
auto* const chosen = (XLA_FFI_Buffer*)frame->args.args[1];
const int32_t* const symbols = (const int32_t*)chosen->data;
const long time = chosen->dims[0], streams = chosen->dims[1], batch = chosen->dims[2];
"""
_FORWARD = """
const long rows = table->dims[0], features = table->dims[1], part = features / streams, width = (rows + 15) / 16 * 16;
const float* const from = (const float*)table->data;
float* const out = (float*)((XLA_FFI_Buffer*)frame->rets.rets[0])->data;
float* const turned = scratch;
float* const lines = scratch + features * width;
std::memset(turned, 0, 4 * features * width);
for (long r = 0; r < rows; r++)
  for (long i = 0; i < features; i++) turned[i * width + r] = from[r * features + i];
for (long t = 0; t < time; t++)
  for (long b = 0; b < batch; b += 16) {
    for (long c = 0; c < 16; c++) {
      float* const line = lines + c * width;
      const int32_t* const s = symbols + t * streams * batch + b + c;
      std::memcpy(line, turned + s[0] * width, 4 * width);
      for (long j = 1; j < streams; j++) {
        const float* const add = turned + (j * part + s[j * batch]) * width;
        for (long r = 0; r < width; r += LANES) store(line + r, load(line + r) + load(add + r));
      }
    }
    alignas(64) float tile[16 * 16];
    for (long r = 0; r < rows; r += 16) {
      for (long i = 0; i < 16; i += LANES)
        for (long j = 0; j < 16; j += LANES) turn(lines + i * width + r + j, width, tile + j * 16 + i, 16);
      for (long k = 0; k < 16 && r + k < rows; k++)
        std::memcpy(out + (t * rows + r + k) * batch + b, tile + k * 16, 64);
    }
  }
"""
_BACKWARD = """
const long rows = table->dims[1], width = (rows + 15) / 16 * 16;
const float* const from = (const float*)table->data;
auto* const result = (XLA_FFI_Buffer*)frame->rets.rets[0];
const long features = result->dims[1], part = features / streams;
float* const out = (float*)result->data;
float* const turned = scratch;
float* const lines = scratch + features * width;
std::memset(turned, 0, 4 * features * width);
for (long t = 0; t < time; t++)
  for (long b = 0; b < batch; b += 16) {
    alignas(64) float tile[16 * 16] = {0};
    for (long r = 0; r < rows; r += 16) {
      for (long k = 0; k < 16 && r + k < rows; k++)
        std::memcpy(tile + k * 16, from + (t * rows + r + k) * batch + b, 64);
      for (long i = 0; i < 16; i += LANES)
        for (long j = 0; j < 16; j += LANES) turn(tile + i * 16 + j, 16, lines + j * width + r + i, width);
    }
    for (long c = 0; c < 16; c++) {
      const float* const line = lines + c * width;
      const int32_t* const s = symbols + t * streams * batch + b + c;
      for (long j = 0; j < streams; j++) {
        float* const add = turned + (j * part + s[j * batch]) * width;
        for (long r = 0; r < width; r += LANES) store(add + r, load(add + r) + load(line + r));
      }
    }
  }
for (long r = 0; r < rows; r++)
  for (long i = 0; i < features; i++) out[r * features + i] = turned[i * width + r];
"""


@functools.cache
def _name(body: str, floats: int) -> str:
    try:
        return library.register(handler(COLUMNS, str(floats), [_SIZES + body]))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise Unsupported(f"the compiler failed: {said}") from error


def lookup(table: Float[Array, "k i"], symbols: Int[Array, "t s b"]) -> Float[Array, "t k b"]:
    """At every time and for every sample of a batch, the sum over streams of the table's column of the stream's symbol.

    **Arguments:**

    - `table`: the columns of all streams side by side, i = s times the symbols of a stream.
    - `symbols`: int32, each from 0 to the symbols of a stream less 1.

    Differentiable in `table`, once. To be traced, not mapped; for CPUs. Raises `Unsupported` where the batch is no
    multiple of 16 or there is no C++ compiler.
    """
    if library.compiler() is None:
        raise Unsupported("no C++ compiler")
    if symbols.shape[2] % COLUMNS or table.dtype != jnp.float32 or symbols.dtype != jnp.int32:
        raise Unsupported(f"symbols of shape {symbols.shape}")
    time, _, batch = symbols.shape
    rows, features = table.shape
    floats = (features + COLUMNS) * (-(-rows // 16) * 16)
    forward_name, backward_name = _name(_FORWARD, floats), _name(_BACKWARD, floats)

    @jax.custom_vjp
    def run(table: Array, symbols: Array) -> Array:
        shape = jax.ShapeDtypeStruct((time, rows, batch), jnp.float32)
        return jax.ffi.ffi_call(forward_name, shape)(table, symbols)

    def backward(symbols: Array, gradient: Array) -> tuple[Array, np.ndarray]:
        shape = jax.ShapeDtypeStruct((rows, features), jnp.float32)
        nothing = np.zeros(symbols.shape, jax.dtypes.float0)  # symbols have no gradient
        return jax.ffi.ffi_call(backward_name, shape)(gradient, symbols), nothing

    run.defvjp(lambda table, symbols: (run(table, symbols), symbols), backward)
    return run(table, symbols)
