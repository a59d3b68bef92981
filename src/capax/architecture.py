"""Which network is made of the cells: of which kind it is, and what stands around its layers.

Plain data: networks/assembling.py makes networks of it.
"""

import dataclasses
from typing import Any, ClassVar, Literal


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The table `[network]` of an experiment.

    - `kind`: "stack", layers one upon the other; "bidirectional", pairs of them that read in both
      directions; "encoder-decoder", two stacks, from a source sequence to a target sequence.
    - `attention`: of an encoder-decoder, "dot" or "additive".
    - `embedding`, `norm`, `between`, `direct`: as of `capax.Wiring`; None: what is usual for the
      cell.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    kind: Literal["stack", "bidirectional", "encoder-decoder"] = "stack"
    attention: Literal["dot", "additive"] | None = None
    embedding: int | None = None
    norm: bool | None = None
    between: bool | None = None
    direct: bool | None = None

    @property
    def of_wiring(self) -> dict[str, Any]:
        """What it says of the wiring."""
        names = ("embedding", "norm", "between", "direct")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def __str__(self) -> str:
        """In words, such as "bidirectional, embedding of 16"; empty for a plain stack."""
        words = [] if self.kind == "stack" else [self.kind]
        words += [f"{self.attention} attention"] if self.attention else []
        words += [f"embedding of {self.embedding}"] if self.embedding else []
        words += ["layer norm before the readout"] if self.norm else []
        words += ["layer norms between layers"] if self.between else []
        words += ["a linear part from input to output"] if self.direct else []
        return ", ".join(words)


STACK = Architecture()
