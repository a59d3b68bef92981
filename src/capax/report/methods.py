"""How the numbers of a task were obtained, in sentences that follow from its design."""

from capax.report import formatting
from capax.report.rows import known, select
from capax.report.view import TaskView


def obtained(view: TaskView) -> list[str]:
    """The paragraphs below a task's tables."""
    return [*([_memorised(view)] if view.task.reporting.memorised else _scored(view)), _equal(view)]


def _searched(view: TaskView) -> str:
    """What was tried in each study."""
    sets = formatting.number(view.planned, "set", "sets")
    if view.design.sampler == "grid":
        asked = view.design.trials
        fewer = f", fewer than the {formatting.count(asked)} asked for" if view.planned < asked else ""
        return f"In each study a grid of {sets} of hyperparameters was tried{fewer}"
    if view.random:
        return f"In each study {sets} of hyperparameters {'was' if view.planned == 1 else 'were'} drawn at random"
    proposals = known(view.tuned, "proposed_by")
    guided = len(select(proposals, proposed_by="model")) if len(proposals) else 0
    if not guided:
        return (
            f"In each study {sets} of hyperparameters {'was' if view.planned == 1 else 'were'} tried, the default and others "
            "drawn at random: the tuner's model proposed none of them"
        )
    return (
        f"In each study the tuner tried {sets} of hyperparameters; its model proposed {formatting.count(guided)} of all "
        f"{formatting.count(len(proposals))}, the others were the default or drawn at random"
    )


def _best(view: TaskView) -> str:
    return "highest" if view.sign > 0 else "lowest"


def _memorised(view: TaskView) -> str:
    trained = " that were trained to their end" if view.stops else ""
    return (
        "The task is to memorise: training, validation, and evaluation set are one by definition. "
        f"{_searched(view)}. The number of samples b is a hyperparameter. The number reported is the {_best(view)} score of "
        f"all trials{trained}. It is a maximum, so it is optimistic, and the more so the more trials there are: compare "
        f"only studies with equal numbers of trials. {_covers(view)}"
    )


def _covers(view: TaskView) -> str:
    """What the interval of a maximum covers."""
    if not view.several:
        return (
            "Its interval holds for the fraction of labels correct in that one trial; it covers neither other seeds nor "
            "other searches."
        )
    return (
        f"Each search was made {view.design.searches} times, from the beginning and with other seeds. Shown is the mean of "
        "their maxima, with an interval in which the maximum of another such search lies in 95% of cases (Student's "
        "prediction interval; measured: docs/decisions/intervals.md)."
    )


def _scored(view: TaskView) -> list[str]:
    of_those = ", of those that were trained to their end," if view.stops else ""
    chosen = (
        f"{_searched(view)}. They were trained on tuning seeds, and the set{of_those} with the {_best(view)} validation score "
        "was chosen."
    )
    if not view.design.reruns:
        return [f"{chosen} It was not trained again, so there is no score on fresh seeds."]
    seeds = formatting.number(view.design.reruns, "fresh seed")
    again = f"; its mean over {view.design.searches} such searches, made from the beginning with other seeds"
    mean = again if view.several else ""
    apart = (
        "The task has one set of data, for training, validation, and evaluation: its scores say how well that set was "
        "fitted, and nothing of other data."
        if view.task.reporting.one_set
        else "Evaluation data took no part in any choice."
    )
    return [
        f"{chosen} It was then trained again on {seeds} that the search never saw, and scored on {view.task.reporting.scored_on}. "
        f"The mean over these reruns is the number reported{mean}. {apart}"
    ]


def _equal(view: TaskView) -> str:
    """What all cells have alike: parameters only where there is a budget of them."""
    low, high = view.design.steps
    steps = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    kinds = "Diverged (infeasible) and stopped trials" if view.stops else "Diverged (infeasible) trials"
    count = f"{kinds} count as trials. All cells have the same"
    if view.sized == "units":
        return (
            f"{count} numbers of units per layer, trials, and training steps ({steps} a trial). Their numbers of "
            "parameters differ: see the table."
        )
    return (
        f"{count} budgets of parameters, trials, and training steps ({steps} a trial); the network of each is the "
        "largest that its budget allows."
    )
