"""The command line. Commands import what they need when they run, so that `hpo --help` answers at once."""

from hpo.cli import search_commands, study_commands
from hpo.cli.options import main

__all__ = ["main", "search_commands", "study_commands"]
