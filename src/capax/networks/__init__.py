"""Networks: stacks of layers with an input map and a readout, sized to a budget."""

from capax.cells.sequence import Dense as Dense
from capax.cells.sequence import Held as Held
from capax.cells.sequence import OneHot as OneHot
from capax.networks.bidirectional import Bidirectional as Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder as EncoderDecoder
from capax.networks.network import Network as Network
from capax.networks.parts import count_parameters as count_parameters
from capax.networks.sizing import size as size
