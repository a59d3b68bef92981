"""Is capacity linear in the number of parameters?"""

from capax.report import formatting
from capax.report.analyses.analysis import Analysis, two
from capax.report.published import COLLINS
from capax.report.rows import column, known, select
from capax.report.statistics import line
from capax.report.tabulation import with_interval
from capax.report.view import TaskView

HEADERS = [
    "cell", "depth", "sizes", "bits per further parameter [95%]", "intercept (bits)", "R²",
    "most bits per parameter", f"bits per parameter, {COLLINS.name}",
]  # fmt: skip
NOTE = (
    "A straight line through stored bits against parameters, by least squares; Student's interval for its slope, from "
    "how far the sizes of this one run lie from the line."
)


def make(view: TaskView) -> Analysis | None:
    """A line a cell and depth, where there are three sizes."""
    rows = []
    for cell, name in view.names.items():
        for depth in sorted(set(view.studies["depth"])):
            of_cell = known(select(view.studies, cell=cell, depth=depth), "best")
            fit = line(list(column(of_cell, "parameters")), list(column(of_cell, "best"))) if len(of_cell) else None
            if fit is not None:
                most = float(column(of_cell, "bits_per_parameter").max())
                rows.append(
                    [
                        name, str(depth), str(fit.points), with_interval(fit.slope, fit.low, fit.high, two),
                        formatting.bits(fit.intercept), formatting.decimals(fit.r_squared, 3), two(most),
                        COLLINS.capacity_in_words,
                    ]
                )  # fmt: skip
    title = "Is capacity linear in the number of parameters?"
    return Analysis("growth", view.label, title, HEADERS, rows, [NOTE])
