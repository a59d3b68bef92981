"""A refusal: why there is no kernel, as a value."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Refusal:
    """No kernel can be made; the compiled program serves instead.

    `reason` is one plain phrase for people: "the operation 'sort' is not one that kernels know".
    """

    reason: str
