"""Tasks: one file a task, its data, loss, and score."""

from capax.cells.sequence import Dense as Dense
from capax.cells.sequence import OneHot as OneHot
from capax.hyperparameters import Interval as Interval
from capax.reporting import Facts as Facts
from capax.reporting import Reporting as Reporting
from capax.reporting import Sizes as Sizes
from capax.tasks.batch import Batch as Batch
from capax.tasks.batch import SequenceBatch as SequenceBatch
from capax.tasks.generated import Generated as Generated
from capax.tasks.options import option as option
from capax.tasks.registry import BUILT_IN as BUILT_IN
from capax.tasks.registry import get as get
from capax.tasks.task import Task as Task
from capax.tasks.task import cross_entropy as cross_entropy
from capax.tasks.task import mean_loss as mean_loss
from capax.tasks.task import squared_error as squared_error
