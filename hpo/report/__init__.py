"""The page on a search: numbers first, then pictures of them."""

from hpo.report.inputs import Material
from hpo.report.page import write

__all__ = ["Material", "write"]
