"""A finished run whose models were deleted or damaged: the best trials are trained once more, and
give them back.
"""

from collections.abc import Callable

from capax import user_code
from capax.experiments.study import StudyRun
from capax.training.engine import Engine, Failed, Finished


def restore(runs: list[StudyRun], engine: Engine, say: Callable[[str], None]) -> None:
    """Restore what can be restored of finished studies; `say` is told what was lost, and what
    cannot be had again.
    """
    left: dict[str, StudyRun] = {}
    for run in runs:
        lost_curves = run.lost_curves()
        if lost_curves:
            say(
                f"{run.plan.name}: learning curves of {lost_curves:,} trials are lost; no trial is repeated for its curve."
            )
        fault = run.model_fault()
        if fault is None:
            continue
        trial = run.best_again()
        say(f"{fault} Trial {run.best_number()} is trained once more to restore it.")
        left[trial.name] = run
        engine.submit([trial])
    while left:
        event = engine.next_event(timeout=0.5)
        if isinstance(event, Failed):
            raise user_code.explained(f"training {event.trials[0].study}", event.error)
        if isinstance(event, Finished):
            fault = left.pop(event.trial.name).restore(event.trial, event.result)
            if fault is not None:
                say(fault)
