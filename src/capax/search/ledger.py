"""The ledger: what a journal says of a study's trials, as plain records. No Optuna, no JAX, no
files."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from capax.training.divergence import Divergence

RERUNS = " reruns"
"""What the name of the study that holds the reruns adds to the name of the tuned one."""

ProposedBy = Literal["default", "random", "model", "grid", "best"]
"""Who chose a trial's hyperparameters: the defaults; a draw, where the tuner has no model yet or is
random search; the tuner's model; a grid; the study's best trial, of which it is a rerun."""


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """What came of a trial, or what it was worth where it paused.

    - `feasible` is False where it diverged; then it has no scores, and `divergence` says why.
    - `validation` and `evaluation`: scores by name.
    - `stopped`: ended at a rung by the experiment's rule, with the scores that it had there.
    - `converged`: complete before its last step, since nothing was left to gain.
    - `kernel`: whether its gradients came from "fused" kernels or the "compiled" program;
      `refusal`: why there were no fused kernels.
    - `processor`, `instructions`, `jaxlib`: on what it was trained.

    What an older capax did not keep is None.
    """

    feasible: bool
    steps: int
    seconds: float
    seed: int
    validation: Mapping[str, float] = dataclasses.field(default_factory=dict)
    evaluation: Mapping[str, float] = dataclasses.field(default_factory=dict)
    stopped: bool = False
    converged: bool = False
    kernel: str | None = None
    refusal: str | None = None
    divergence: Divergence | None = None
    processor: str | None = None
    instructions: str | None = None
    jaxlib: str | None = None

    @property
    def state(self) -> Literal["complete", "infeasible", "stopped"]:
        """How the trial ended."""
        return "infeasible" if not self.feasible else "stopped" if self.stopped else "complete"

    @property
    def score(self) -> float:
        """The score that the tuner sees. Raises `KeyError` where the trial diverged."""
        return self.validation["score"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One trial that was proposed.

    - `paused`: what it was worth where it paused last; `scores`: at each step where it paused.
    - `result`: how it ended, None while it has not. `is_told`: whether the tuner knows.
    """

    number: int
    hyperparameters: Mapping[str, Any]
    proposed_by: ProposedBy | None = None
    scores: Mapping[int, float] = dataclasses.field(default_factory=dict)
    paused: TrialRecord | None = None
    result: TrialRecord | None = None
    is_told: bool = False

    @property
    def steps(self) -> int:
        """The training steps that were proposed for it."""
        return self.hyperparameters["training_steps"]

    @property
    def ended(self) -> TrialRecord:
        """How it ended; only where it has."""
        assert self.result is not None, f"trial {self.number} has not ended"
        return self.result

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end and did not diverge."""
        return self.result is not None and self.result.state == "complete"


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The trials of a study by number: those of the tuner, and reruns of the best on fresh
    seeds."""

    tuned: tuple[Entry, ...] = ()
    reruns: tuple[Entry, ...] = ()
