"""Conformance of a user's own cells and tasks: test classes to subclass, and the same checks in a
row for `capax check`.
"""

from capax.testing.conformance import CellConformance as CellConformance
from capax.testing.conformance import TaskConformance as TaskConformance
from capax.testing.examination import Examination as Examination
from capax.testing.examination import examine as examine
