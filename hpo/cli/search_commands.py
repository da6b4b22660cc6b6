"""The commands that prepare and run a search: init, check, shift, regularizers and search."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo.cli.options import DEVICE, PLUGIN, STORE, WORKERS, main, print_lines, write
from hpo.core.errors import InputError

if TYPE_CHECKING:
    from hpo.selection.result import SearchResult

_STARTED = time.time()
_URI = click.option(
    "--tracking-uri", help="MLflow server to write to; default: MLFLOW_TRACKING_URI, else STORE/mlflow.db."
)


@main.command()
@click.argument("file", metavar="[SPACE]", required=False)
@click.option("--space", "path", help="The space file (YAML); the same as the argument SPACE.")
@click.option(
    "--select",
    type=click.Choice(["expected", "best", "safe", "one_se", "fastest", "sparsest"]),
    help="Select by this rule, instead of by the one of the space file. A finished study is not searched again.",
)
@click.option("--trials", type=click.IntRange(1), help="Total number of trials, instead of the budget of the file.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Total time, instead of the budget of the file; with --trials: whichever limit is reached first.",
)
@STORE
@_URI
@WORKERS
@DEVICE
@click.option("--deterministic", is_flag=True, help="Same trials for any number of workers; takes longer.")
@click.option(
    "--refit",
    type=click.Choice(["scaled", "keep", "average", "none"]),
    help="How to train the final network; default: as in the space file.",
)
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", is_flag=True, help="Print only the result.")
def search(
    file: str | None,
    path: str | None,
    select: str | None,
    trials: int | None,
    seconds: float | None,
    store: str,
    tracking_uri: str | None,
    workers: int,
    device: str,
    deterministic: bool,
    refit: str | None,
    plugins: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Search a space. Run it again to resume or to extend the budget."""
    space, changes = _space_path(file, path), _changes(select, refit, trials, seconds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers of clusters send SIGTERM
    from hpo.training.worker import start_workers

    with start_workers(workers) as processes:  # so that workers import torch at the same time as this process
        from rich.console import Console

        from hpo.cli.display import Display

        with _stop_on_interrupt(), Display(Console(stderr=True, markup=False, quiet=quiet)) as display:
            display.show(["loading PyTorch"])
            from hpo.cli import progress
            from hpo.nn import device as devices
            from hpo.study.directory import StudyDirectory, chosen_uri
            from hpo.workflows import prepare
            from hpo.workflows import search as workflow

            display.show(["loading the data and trying the networks"])
            uri = chosen_uri(Path(store), tracking_uri)
            torch_device = devices.resolve_device(device, workers)
            experiment = prepare.load(
                space, device=torch_device, changes=changes, plugin_modules=plugins, tracking_uri=uri
            )
            directory = StudyDirectory(Path(store), experiment.space.study)
            display.show(["opening the study"])
            watcher = progress.SearchProgress(display)
            result = workflow.search(experiment, directory, uri, watcher, _STARTED, processes, deterministic)
    _print_result(result, store, new_splits=not experiment.data.has_single_draw, as_json=as_json)


def _space_path(argument: str | None, option: str | None) -> Path:
    """Return the space file, which is named by the argument or by the option --space. Raises InputError."""
    if argument and option:
        raise InputError(f"The space file is named twice, {argument} and --space {option}; name it once.")
    if path := argument or option:
        return Path(path)
    raise InputError("hpo search needs a space file: hpo search SPACE.yaml (hpo init DATA.csv writes one)")


def _changes(select: str | None, refit: str | None, trials: int | None, seconds: float | None) -> dict[str, Any]:
    """Return the sections of the space that the options replace."""
    budget = {name: value for name, value in (("trials", trials), ("seconds", seconds)) if value is not None}
    changes = {"select": select, "refit": refit, "budget": budget}
    return {key: value for key, value in changes.items() if value}


def _print_result(result: SearchResult, store: str, *, new_splits: bool, as_json: bool) -> None:
    from hpo.cli import result_text

    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        print_lines(result_text.result_lines(result, store, new_splits=new_splits))


@contextmanager
def _stop_on_interrupt() -> Iterator[None]:
    """Exit with code 130 and one sentence after Ctrl-C or SIGTERM."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nStopped. Finished trials are stored; the same command resumes the search.", err=True)
        sys.exit(130)


@main.command()
@click.argument("path", metavar="SPACE")
@STORE
@_URI
@PLUGIN
def check(path: str, store: str, tracking_uri: str | None, plugins: tuple[str, ...]) -> None:
    """Validate a space file and its data without training."""
    from hpo.cli import messages
    from hpo.nn import device as devices
    from hpo.study.directory import chosen_uri
    from hpo.workflows import prepare

    uri = chosen_uri(Path(store), tracking_uri)
    experiment = prepare.load(
        Path(path), device=devices.resolve_device("auto"), plugin_modules=plugins, tracking_uri=uri
    )
    print_lines([*messages.headline(experiment, experiment.rows()), f"{path}: OK"])


@main.command()
@click.option("--space", "path", required=True, help="The space file (YAML), with another domain in data.target.")
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as one JSON object.")
def shift(path: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Diagnose the shift between two domains, without training."""
    from hpo.data import dataset
    from hpo.shift import inputs, text, verdict
    from hpo.space import loader
    from hpo.space.plugins import load

    load(plugins, Path(path).parent)
    config = loader.load(Path(path)).data
    data = dataset.prepare(config, Path(path).parent)
    domains = inputs.build_domains(config, data)
    diagnosis = verdict.diagnose(domains)
    if as_json:
        click.echo(json.dumps(text.to_json(data.name, domains, diagnosis, data.notes)))
    else:
        print_lines(text.report_lines(data.name, domains, diagnosis, data.notes))


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@PLUGIN
def regularizers(name: str | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """List everything that can be searched. With NAME, describe one search key."""
    from hpo.cli import regularizer_pages as pages
    from hpo.regularizers import FAMILY
    from hpo.space.parser import LEARNING_RATE
    from hpo.space.plugins import load

    load(plugins, Path())
    if name == LEARNING_RATE:
        facts: object = pages.learning_rate_facts()
        lines = pages.learning_rate_page()
    elif name:
        member = pages.find(name)
        facts, lines = pages.facts(member), pages.page(member)
    else:
        facts, lines = [pages.facts(regularizer) for regularizer in FAMILY.values()], pages.overview()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        print_lines(lines)


@main.command()
@click.argument("data")
@click.option("--target", default="target", show_default=True, help="The column to predict.")
@click.option("-o", "--output", help="File for the space; default: standard output.")
def init(data: str, target: str, output: str | None) -> None:
    """Write a commented space file for a table. Its ranges depend on the number of rows."""
    from hpo.cli import space_template

    if output and Path(output).exists():
        raise InputError(f"{output} already exists; name another file with -o, or remove it first.")
    folder = Path(output).parent if output else Path()
    write(space_template.space_text(Path(data), target, folder), output)
    if output:
        click.echo(f"Wrote {output}. Next: hpo check {shlex.quote(output)}", err=True)
