"""The page on a search: numbers first, then pictures of them."""

from hpo.report.inputs import ReportInputs
from hpo.report.page import write

__all__ = ["ReportInputs", "write"]
