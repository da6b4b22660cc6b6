"""The command group and what all commands share: options, error handling and output."""

from __future__ import annotations

import atexit
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hpo.core.errors import HpoError, InputError

STORE = click.option(
    "--store", default="mlruns", show_default=True, help="Folder of studies, MLflow database and artifacts."
)
STUDY = click.option("--study", help="Name of the study; default: the study that was written last.")
PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE",
    help="A module with regularizers of your own; may be repeated.",
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes that train, at most one per core.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one and one process trains.",
)


class _CommandError(click.ClickException):
    """An error of hpo, which click prints without a prefix before it exits with the code of the error."""

    def __init__(self, error: HpoError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc] # click also reads it from the instance

    def show(self, file: Any = None) -> None:
        del file
        click.echo(self.message, err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HpoError as error:
            raise _CommandError(error) from error
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            sys.exit(130)
        finally:
            # The work is done: Ctrl-C must not interrupt the exit handlers of libraries, which run after this one.
            atexit.unregister(_ignore_interrupts)
            atexit.register(_ignore_interrupts)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@click.group(cls=_Group)
@click.version_option(package_name="hpo")
def main() -> None:
    """Tune the regularization of a neural network: a space file in, the best configuration and an honest score out."""


def write(text: str, output: str | None) -> None:
    """Write text to the file `output`, or to standard output. Raises InputError."""
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error


def print_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output; on a terminal, lines that are too long are wrapped between words."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        for part in [line] if width is None else wrapped(line, width):
            click.echo(part)


def wrapped(line: str, width: int) -> list[str]:
    """Wrap a line between words; continuation lines keep its indent. Addresses and paths stay whole."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width:
        return [line]
    parts = textwrap.wrap(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return parts or [""]
