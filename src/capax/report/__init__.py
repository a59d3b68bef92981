"""The report: figures, tables, and one self-contained HTML page, all from what a run directory
holds.
"""

from capax.report.report import Report as Report
from capax.report.report import build as build
from capax.report.tabulation import Table as Table
from capax.report.tabulation import tables as tables
