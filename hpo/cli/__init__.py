"""The command line. Commands import what they need when they run, so that `hpo --help` answers at once."""

from hpo.cli import after, before
from hpo.cli.group import main

__all__ = ["after", "before", "main"]
