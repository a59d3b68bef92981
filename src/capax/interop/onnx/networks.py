"""Networks of all kinds in an ONNX graph.

Inputs are numbers (time, inputs, batch) or symbols (time, batch), outputs (outputs, time, batch),
states (units, batch).
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from capax.cells.cell import real_steps
from capax.interop.onnx.graph import Operand
from capax.interop.onnx.layers import Writer
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network


def network(writer: Writer, net: Network, x: Any, states: Any = None) -> tuple[Operand, Any]:
    """Outputs, 0 behind the lengths, and the states after the last real step of each sequence."""
    x = writer.cleared(x)
    top, after = writer.stack(net.layers, net.norms, writer.entered(net.entry, x, net.inputs), states)
    if net.direct is None:
        outputs = writer.write("the readout", net.read, top)
    else:
        outputs = writer.write("the readout", net.read_all, top, writer.dense(x, net.inputs))
    return writer.zero_behind(outputs), after


def bidirectional(writer: Writer, net: Bidirectional, x: Any) -> Operand:
    """Outputs, 0 behind the lengths."""
    x, pairs = writer.cleared(x), tuple(zip(net.forwards, net.backwards, strict=True))
    top = writer.pairs(pairs, net.norms, writer.entered(net.entry, x, net.inputs))
    return writer.zero_behind(writer.write("the readout", _reading(net), top))


def encoder(writer: Writer, net: EncoderDecoder, x: Any) -> tuple[Operand, Any]:
    """What attention looks at, the encoder's outputs (source, units, batch), and its last states,
    with which the decoder begins.
    """
    entered = writer.entered(net.entry, writer.cleared(x), net.inputs)
    return writer.stack(net.encoder, net.encoder_norms, entered)


def decoder(
    writer: Writer, net: EncoderDecoder, symbols: Any, states: Any, memory: Any = None, lengths: Any = None
) -> tuple[Operand, Any]:
    """Logits of the symbol after each one that is read, and the states after them.

    **Arguments:** `symbols`, (time, batch), of any number of steps; `memory`, where the network has
    attention, and `lengths`, of the sources, or None.
    """
    entered = writer.entered(net.target_entry, symbols, net.outputs + 1)
    top, after = writer.stack(net.decoder, net.decoder_norms, entered, states)
    if net.attention is not None:
        top = writer.write("the attention", _attending(net.attention), top, memory, lengths)
    return writer.write("the readout", _reading(net), top), after


def _attending(attention: Any) -> Callable[[Any, Any, Any], Any]:
    def attend(h: Any, memory: Any, lengths: Any) -> Any:
        source, batch = memory.shape[0], memory.shape[2]
        known = jnp.full((batch,), source) if lengths is None else jnp.maximum(lengths, 1)
        return attention(h, memory, real_steps(known, source))

    return attend


def _reading(net: Bidirectional | EncoderDecoder) -> Callable[[Any], Any]:
    def read(top: Any) -> Any:
        moved = jnp.moveaxis(top, 0, 1)
        return net.readout(moved if net.norm is None else net.norm(moved))

    return read
