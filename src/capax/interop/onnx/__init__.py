"""Networks as ONNX files, which run anywhere without capax, JAX, or the cell's code.

A cell whose equations are ONNX's own RNN, GRU, or LSTM becomes that operator; every other cell, a
user's own too, becomes a `Scan` whose body is its traced step.

    from capax.interop import onnx

    network = capax.Network.create("gru", inputs=3, outputs=2, units=16, key=jax.random.key(0))
    onnx.save(network, "model.onnx", lengths=True)
    onnx.difference(network, "model.onnx")      # the largest, on random sequences, by onnxruntime
"""

from capax.interop.onnx.files import files_of as files_of
from capax.interop.onnx.files import save as save
from capax.interop.onnx.files import to_model as to_model
from capax.interop.onnx.files import to_pair as to_pair
from capax.interop.onnx.files import to_protos as to_protos
from capax.interop.onnx.running import difference as difference
from capax.interop.onnx.running import opened as opened
