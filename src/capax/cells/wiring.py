"""How layers of a kind are put together to a network: what stands around the stack, and between its layers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What a network has beside its layers and its readout.

    `direct`: outputs have a part that is linear in the input of the same step (the D x of a linear
    system). `norm`: the readout sees the top layer through a learned layer norm. `least_depth`: the
    fewest layers of a network. (An input map is no choice: a layer whose input and output have the same
    size needs one.)
    """

    direct: bool = False
    norm: bool = False
    least_depth: int = 1
