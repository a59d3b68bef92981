"""What a user's data ask for: one file a job, from a file's contents to arrays and from a network's
outputs to answers. NumPy and pandas; no networks, no training.
"""

from capax.jobs.preparation import JOBS as JOBS
from capax.jobs.preparation import Preparation as Preparation
from capax.jobs.preparation import from_json as from_json
