"""How layers of a kind are put together to a network: what stands around the stack, and between its
layers.
"""

import dataclasses

from capax.errors import CapaxError


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What a network has beside its layers and its readout.

    - `direct`: outputs have a part that is linear in the input of the same step (the D x of a
      linear system).
    - `norm`: the readout sees the top layer through a learned layer norm.
    - `between`: so does each layer the one below it (Ba et al. 2016).
    - `embedding`: inputs go through a learned affine map to so many features first; of symbols, one
      vector a symbol. 0: they do not. A layer whose input and output have the same size has a map
      to that size anyway.
    - `dropout`: in training, the probability with which each number that a layer hands upwards, to
      the next layer or to the readout, is zero; the others are divided by 1 - dropout. What goes
      from step to step is left as it is (Zaremba et al. 2014; other than there, the network's own
      inputs are, too).
    - `least_depth`: the fewest layers of a network.

    Raises `CapaxError` for a dropout that is no probability below 1, or a negative embedding.
    """

    direct: bool = False
    norm: bool = False
    between: bool = False
    embedding: int = 0
    dropout: float = 0.0
    least_depth: int = 1

    def __post_init__(self):
        if not 0 <= self.dropout < 1:
            raise CapaxError(f"dropout must be at least 0 and below 1, not {self.dropout}.")
        if self.embedding < 0:
            raise CapaxError(f"an embedding has at least 1 feature, or is 0 for none, not {self.embedding}.")
