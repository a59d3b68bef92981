"""What a file for other programs says of the network that it holds."""

import dataclasses
from typing import Any

from capax.cells import registry
from capax.errors import CapaxError
from capax.networks.assembling import AnyNetwork
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training.model import Model
from capax.version import __version__


def network_of(model: AnyNetwork | Model) -> AnyNetwork:
    """The network of a model; a network itself."""
    return model.network if isinstance(model, Model) else model


def description(model: AnyNetwork | Model) -> dict[str, Any]:
    """Kind, cell, and sizes of a network; of a model also what it was trained on, its scores, and
    its preprocessing. Numbers, texts, lists, and dictionaries alone; no path.
    """
    net = network_of(model)
    layer, both = net.layers[0], 1 if isinstance(net, Network) else 2
    found: dict[str, Any] = {
        "version": __version__,
        "network": type(net).__name__,
        "cell": _name(type(layer)),
        "depth": len(net.layers) // both,
        "units": layer.units,
        "inputs": net.inputs,
        "outputs": net.readout.weight.shape[0],
        "nonlinearity": layer.nonlinearity or "",
        "wiring": dataclasses.asdict(net.wiring),
    }
    if isinstance(net, EncoderDecoder):
        found |= {"start": net.start, "attention": net.attention is not None}
    if isinstance(model, Model):
        card = model.card
        found |= {"cell": card.cell, "task": card.task, "task_options": card.task_options}
        found |= {"hyperparameters": card.hyperparameters, "evaluation": card.evaluation, "model_sha256": card.sha256}
        found |= {"preprocessing": card.preprocessing} if card.preprocessing is not None else {}
    return found


def _name(layer: type) -> str:
    try:
        return registry.name_of(layer)
    except CapaxError:
        return layer.__name__
