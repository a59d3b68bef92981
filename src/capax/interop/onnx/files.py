"""The doors: a network to ONNX, in memory or as files."""

from pathlib import Path
from typing import Any

from capax.errors import CapaxError
from capax.files import write_atomically
from capax.interop.description import description, network_of
from capax.interop.onnx import networks
from capax.interop.onnx.draft import Draft
from capax.interop.onnx.layers import Writer
from capax.interop.onnx.package import onnx_package
from capax.interop.onnx.tracing import unchecked_shapes
from capax.networks.assembling import AnyNetwork
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training.model import Model

PARTS = ("encoder", "decoder")
"""The files of an encoder-decoder network."""


def to_model(
    model: AnyNetwork | Model,
    *,
    lengths: bool = False,
    symbols: bool = False,
    states: bool = False,
    time_first: bool = False,
) -> Any:
    """A network as an `onnx.ModelProto`, checked by `onnx.checker`.

    The file reads `x`, numbers (batch, time, inputs) or symbols (batch, time), and gives `outputs`,
    (batch, time, outputs); any batch, any number of steps from 1 on. Its learned initial states are
    constants. Its metadata say which cell it is, sizes, what it was trained on, how its data were
    prepared, and the axes of all inputs and outputs.

    **Arguments:**

    - `model`: a network of a built-in cell or a user's own; or a model, as `capax.load` gives it.
    - `lengths`: the file reads how many steps of each sequence are real, too: `lengths`, (batch,),
      64-bit whole numbers. Outputs behind a length are 0, whatever stands there in `x`.
    - `symbols`: it reads symbols, 64-bit whole numbers from 0 to inputs - 1.
    - `states`: it reads the states before the first step, `state_0_0` and so on by layer and part,
      (batch, units), and gives those after the last real step, `state_0_0_after`: to run a long
      sequence in parts.
    - `time_first`: (time, batch, ..) in place of (batch, time, ..).

    Raises `CapaxError` where onnx is not installed, for a network with an operation that has no
    rule, naming it, for `states` of a network that has none, and for an encoder-decoder, which is
    two files (`to_pair`).

        model = capax.load("runs/r/models/gru-1000.safetensors")
        proto = onnx.to_model(model, lengths=True)
    """
    onnx_package()
    net = network_of(model)
    if isinstance(net, EncoderDecoder):
        raise CapaxError("an EncoderDecoder is two ONNX files, encoder and decoder: use to_pair, or save.")
    if states and not (isinstance(net, Network) and net.recurrent):
        raise CapaxError("only a recurrent network that reads forwards has states to go on from.")
    with unchecked_shapes():
        return _of_one(net, Draft(time_first), lengths, symbols, states).proto(description(model))


def to_pair(model: AnyNetwork | Model, *, lengths: bool = False, symbols: bool = False) -> tuple[Any, Any]:
    """An encoder-decoder network as two `onnx.ModelProto`, encoder and decoder, each checked by
    `onnx.checker`.

    The encoder is run once. It reads sources, `x`, (batch, source, inputs) or symbols (batch,
    source), and gives the decoder's first states, `state_0_0` and so on by layer and part, (batch,
    units); with attention also `memory`, (batch, source, units).

    The decoder is run again and again. It reads `symbols`, (batch, time), of any number of steps,
    and the states; with attention also `memory`, as the encoder gave it. It gives `outputs`,
    (batch, time, outputs), the logits of the symbol after each, and the states to go on from,
    `state_0_0_after`. The first symbol that it reads is the start symbol, whose number is in the
    metadata, `capax.start`. One symbol a run generates; a whole target, the start symbol before it,
    is teacher forcing.

    **Arguments:** `lengths`, whether the encoder, and with attention the decoder, read how many
    steps of each source are real, `lengths`, (batch,); `symbols`, whether sources are symbols.

    Raises `CapaxError` as `to_model`.
    """
    onnx_package()
    net = network_of(model)
    if not isinstance(net, EncoderDecoder):
        raise CapaxError(f"a {type(net).__name__} is one ONNX file: use to_model, or save.")
    said = description(model)
    with unchecked_shapes():
        return tuple(
            draft(net, lengths, symbols).proto({**said, "part": part})
            for part, draft in zip(PARTS, (_of_encoder, _of_decoder), strict=True)
        )


def save(model: AnyNetwork | Model, path: str | Path, **options: bool) -> tuple[Path, ...]:
    """Write a network as an ONNX file; `options` and errors as those of `to_model`.

    An encoder-decoder becomes two files, `NAME.encoder.onnx` and `NAME.decoder.onnx`; `options` are
    then those of `to_pair`.

    **Returns:** the files.
    """
    protos = to_protos(model, **options)
    files = files_of(model, path)
    for proto, file in zip(protos, files, strict=True):
        write_atomically(file, proto.SerializeToString())
    return files


def to_protos(model: AnyNetwork | Model, **options: bool) -> tuple[Any, ...]:
    """What `save` writes: one `onnx.ModelProto`, or encoder and decoder."""
    return to_pair(model, **options) if isinstance(network_of(model), EncoderDecoder) else (to_model(model, **options),)


def files_of(model: AnyNetwork | Model, path: str | Path) -> tuple[Path, ...]:
    """The files that `save` writes."""
    path = Path(path)
    if not isinstance(network_of(model), EncoderDecoder):
        return (path,)
    return tuple(path.with_name(f"{path.name.removesuffix('.onnx')}.{part}.onnx") for part in PARTS)


def _of_one(net: Network | Bidirectional, draft: Draft, lengths: bool, symbols: bool, states: bool) -> Draft:
    x = draft.reads_sequence("x", draft.graph.time, None if symbols else net.inputs)
    writer = Writer(draft.graph, draft.reads_lengths() if lengths else None)
    if isinstance(net, Bidirectional):
        outputs, after = networks.bidirectional(writer, net, x), ()
    else:
        outputs, after = networks.network(writer, net, x, draft.reads_states(net.cells) if states else None)
    draft.gives_sequence("outputs", outputs, (1, 0, 2))
    draft.gives_states(after if states else (), "_after")
    return draft


def _of_encoder(net: EncoderDecoder, lengths: bool, symbols: bool) -> Draft:
    draft = Draft()
    x = draft.reads_sequence("x", draft.graph.source, None if symbols else net.inputs)
    writer = Writer(draft.graph, draft.reads_lengths() if lengths else None)
    memory, states = networks.encoder(writer, net, x)
    if net.attention is not None:
        draft.gives_sequence("memory", memory, (0, 1, 2))
    draft.gives_states(states)
    return draft


def _of_decoder(net: EncoderDecoder, lengths: bool, symbols: bool) -> Draft:
    del symbols  # it reads them in any case
    draft, memory, of_source = Draft(), None, None
    given = draft.reads_sequence("symbols", draft.graph.time, None)
    states = draft.reads_states(net.decoder)
    if net.attention is not None:
        memory = draft.reads_sequence("memory", draft.graph.source, net.attention.combine.weight.shape[0])
        of_source = draft.reads_lengths() if lengths else None
    outputs, after = networks.decoder(Writer(draft.graph), net, given, states, memory, of_source)
    draft.gives_sequence("outputs", outputs, (1, 0, 2))
    draft.gives_states(after, "_after")
    return draft
