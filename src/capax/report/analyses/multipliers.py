"""By how much one cell needs more parameters to hold as much as another."""

from capax.report.analyses.analysis import Analysis, two
from capax.report.published import COLLINS
from capax.report.rows import known
from capax.report.statistics import mean_ratio
from capax.report.tabulation import with_interval
from capax.report.view import TaskView

MEANING = (
    "A cell of the table: by how much the parameters of the architecture above it must be multiplied to hold as much "
    "as the architecture on its left: the ratio of their mean bits per parameter over the sizes and depths that both "
    f"have (Figure 1i of {COLLINS.name})."
)
INTERVAL = (
    "In brackets Fieller's 95% interval over those sizes and depths: it holds for ratios "
    "that do not depend on the size."
)
NO_INTERVAL = "No interval where fewer than three sizes and depths are shared, or where they are too far apart for one."
SOURCE = "The source finds RNN > UGRNN > GRU > LSTM > +RNN by small margins, and the IRNN below them."


def make(view: TaskView) -> Analysis | None:
    """All pairs of cells that share two sizes."""
    scored = known(view.studies, "bits_per_parameter")
    if scored.empty:
        return None
    table = scored.pivot_table(index=["depth", view.sized], columns="cell", values="bits_per_parameter")
    cells = [cell for cell in view.names if cell in table]
    if len(cells) < 2 or len(table) < 2:
        return None
    rows = []
    for y in cells:
        row = [view.names[y]]
        for x in cells:
            both = table[[x, y]].dropna() if x != y else table[[x]].dropna()
            row.append("1" if x == y else _ratio(list(both[y]), list(both[x])))
        rows.append(row)
    pairs = [text for place, row in enumerate(rows) for column, text in enumerate(row[1:]) if column != place]
    some, all_ = any("[" in text for text in pairs), all("[" in text for text in pairs)
    notes = [MEANING, *([INTERVAL] if some else []), *([] if all_ else [NO_INTERVAL]), SOURCE]
    headers = ["as much as", *(view.names[x] for x in cells)]
    return Analysis("multipliers", view.label, "Parameters needed for equal capacity", headers, rows, notes)


def _ratio(one: list[float], other: list[float]) -> str:
    return with_interval(*mean_ratio(one, other), two)
