"""A network's outputs for a batch of a task, whatever kind of network it is."""

from jaxtyping import Array, Float

from capax.errors import CapaxError
from capax.fused import Refusal
from capax.networks import ways
from capax.networks.assembling import AnyNetwork
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.networks.parts import Dropout
from capax.networks.ways import KERNELS, NoKernels, Way
from capax.tasks.batch import PairBatch, SequenceBatch

Outputs = Float[Array, "outputs scored batch"]


def outputs(
    network: AnyNetwork,
    batch: SequenceBatch,
    first: int,
    dropout: Dropout | None = None,
    checkpoint_every: int | None = None,
) -> Outputs:
    """Outputs at the scored steps, from `first` on; of an encoder-decoder, the logits of the
    target's symbols.
    """
    layer = type(network.layers[0])

    def usual(length: int) -> Way:
        return ways.usual(layer, length, checkpoint_every=checkpoint_every)

    if isinstance(network, EncoderDecoder):
        return _taught(network, batch, None, dropout)
    return network.run(batch.inputs, first, usual(batch.inputs.length), lengths=batch.lengths, dropout=dropout)


def in_kernels(
    network: AnyNetwork, batch: SequenceBatch, first: int, dropout: Dropout | None = None
) -> Outputs | Refusal:
    """As `outputs`, with the loops over time in kernels, or why there are none for this network."""
    if isinstance(network, Network):
        return network.run_fused(batch.inputs, first, batch.lengths, dropout)
    try:
        if isinstance(network, EncoderDecoder):
            return _taught(network, batch, KERNELS, dropout)
        return network.run(batch.inputs, first, KERNELS, lengths=batch.lengths, dropout=dropout)
    except NoKernels as error:
        return error.refusal


def _taught(network: EncoderDecoder, batch: SequenceBatch, way: Way | None, dropout: Dropout | None) -> Outputs:
    if not isinstance(batch, PairBatch):
        raise CapaxError("an encoder-decoder network needs a task of pairs, such as translate.")
    given = network.given(batch.targets)
    return network.teach(batch.inputs, given, batch.lengths, batch.target_lengths, way=way, dropout=dropout)
