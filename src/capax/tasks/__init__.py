"""Tasks: one file a task, its data, loss, and score."""

from capax.tasks.registry import BUILT_IN as BUILT_IN
from capax.tasks.registry import get as get
from capax.tasks.task import Task as Task
