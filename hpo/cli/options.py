"""What all commands have in common: options, how a mistake is said, how text is written."""

from __future__ import annotations

import atexit
import signal
import sys
from pathlib import Path
from typing import Any

import click

from hpo.core.errors import HpoError, InputError

STORE = click.option(
    "--store", default="mlruns", show_default=True, help="Folder of studies, MLflow database, artifacts."
)
STUDY = click.option("--study", help="Default: the study that was written last.")
PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE",
    help="A module with regularizers of your own; may be repeated.",
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU if there is one.",
)


class _Shown(click.ClickException):
    """One of our exceptions, as click shows it: its sentences, and its exit code."""

    def __init__(self, error: HpoError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc] # click reads it from the instance, too

    def show(self, file: Any = None) -> None:
        del file
        click.echo(self.message, err=True)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HpoError as error:
            raise _Shown(error) from error
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            sys.exit(130)
        finally:  # what is to be done is done: libraries that tidy up behind it are no longer interrupted
            atexit.unregister(_deaf)
            atexit.register(_deaf)


def _deaf() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@click.group(cls=_Group)
@click.version_option(package_name="hpo")
def main() -> None:
    """Which strength of which regularizer? One space file in; the best configuration, with an honest number, out."""


def write(text: str, output: str | None) -> None:
    """Into the file `output`, or to standard output. Raises InputError."""
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
