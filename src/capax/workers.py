"""What each worker of a run has, and for how long it may be silent. Plain data."""

import dataclasses
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True)
class Workers:
    """The table `[workers]` of an experiment: what each worker has. It changes no result but by
    rounding, as another machine does.

    - `cpus`: cores; `gpus`: None, one where a machine has any; `memory`: GiB, None for no limit of
      its own. What a machine has decides how many workers it takes.
    - `most`: workers at most, None for as many as there is room for.
    - `lease`: seconds without a sign of life after which a worker is given up.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    cpus: float | int = 1
    gpus: float | int | None = None
    memory: float | int | None = None
    most: int | None = None
    lease: float | int = 30

    def __post_init__(self) -> None:
        if not self.cpus > 0 or not self.lease >= 1 or (self.most is not None and self.most < 1):
            raise ValueError("workers: cpus must be above 0, lease at least 1 second, and most at least 1")
        if min(self.gpus or 0.0, self.memory or 0.0) < 0:
            raise ValueError("workers: gpus and memory must be 0 or more")
