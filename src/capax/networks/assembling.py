"""A network of any kind, as an architecture describes it."""

import dataclasses
from typing import Any

from jaxtyping import Array

from capax.architecture import Architecture
from capax.cells import registry
from capax.cells.cell import Layer
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network

AnyNetwork = Network | Bidirectional | EncoderDecoder
KINDS: dict[str, type[AnyNetwork]] = {
    "stack": Network,
    "bidirectional": Bidirectional,
    "encoder-decoder": EncoderDecoder,
}


def wiring(architecture: Architecture, layer: type[Layer]) -> Wiring:
    """What is usual for layers of a class, but for what the architecture says."""
    return dataclasses.replace(registry.wiring(layer), **architecture.of_wiring)


def blank(
    architecture: Architecture,
    layer: type[Layer],
    *,
    inputs: int,
    outputs: int,
    depth: int,
    units: int,
    nonlinearity: str | None = None,
    key: Array | None = None,
) -> AnyNetwork:
    """A network with zeros for parameters (layers that draw their own by `key` excepted).

    Raises `CapaxError` for sizes and layers that the kind cannot have, and for attention without a
    decoder.
    """
    kind = KINDS[architecture.kind]
    own: dict[str, Any] = {}
    if architecture.kind == "encoder-decoder":
        own["attention"] = architecture.attention
    elif architecture.attention is not None:
        raise CapaxError(f"attention is for an encoder-decoder network, not for a {architecture.kind} one.")
    return kind(
        layer,
        inputs=inputs,
        outputs=outputs,
        depth=depth,
        units=units,
        nonlinearity=nonlinearity,
        key=key,
        wiring=wiring(architecture, layer),
        **own,
    )
