"""The report: one HTML page about a search, with a verdict, tables and plots."""

from hpo.report.inputs import ReportInputs
from hpo.report.page import write

__all__ = ["ReportInputs", "write"]
