"""The commands that lead to a search, and the search."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import click

from hpo.cli.options import DEVICE, PLUGIN, STORE, main, write
from hpo.core.errors import InputError

_BEGAN = time.time()
_URI = click.option(
    "--tracking-uri", help="Another MLflow than STORE/mlflow.db; default: MLFLOW_TRACKING_URI, if that is set."
)


@main.command()
@click.option("--space", "path", required=True, help="The space file (YAML).")
@STORE
@_URI
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that train: one a core."
)
@DEVICE
@click.option("--deterministic", is_flag=True, help="The same trials at any number of rows and workers; takes longer.")
@click.option(
    "--refit",
    type=click.Choice(["scaled", "keep", "average", "none"]),
    help="How the final network is made; default: as the space says.",
)
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--quiet", is_flag=True, help="Say only the result.")
def search(
    path: str,
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
    """Search a space; the same command again goes on from where it was."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's way to say Ctrl-C
    from hpo.training.worker import start_workers

    with start_workers(workers) as processes:  # before our own imports, since theirs take as long
        from rich.console import Console

        from hpo.cli import progress, result_text
        from hpo.nn import device as devices
        from hpo.study.directory import StudyDirectory, chosen_uri
        from hpo.workflows import prepare as jobs
        from hpo.workflows import search as searching

        uri = chosen_uri(Path(store), tracking_uri)
        job = jobs.load(
            Path(path), device=devices.resolve_device(device, workers), refit=refit, named=plugins, tracking_uri=uri
        )
        place = StudyDirectory(Path(store), job.space.study)
        watcher = searching.Watcher() if quiet else progress.Progress(Console(stderr=True, markup=False))
        try:
            result = searching.search(job, place, uri, watcher, _BEGAN, processes, deterministic)
        except KeyboardInterrupt:
            click.echo("\nStopped. What has ended is stored; the same command goes on from here.", err=True)
            sys.exit(130)
    if as_json:
        click.echo(json.dumps(result))
        return
    for line in result_text.result_lines(result, store):
        click.echo(line)


@main.command()
@click.argument("path", metavar="SPACE")
@STORE
@_URI
@PLUGIN
def check(path: str, store: str, tracking_uri: str | None, plugins: tuple[str, ...]) -> None:
    """Say every mistake of a space file and its data; run nothing."""
    from hpo.cli import messages as words
    from hpo.nn import device as devices
    from hpo.study.directory import chosen_uri
    from hpo.workflows import prepare as jobs

    uri = chosen_uri(Path(store), tracking_uri)
    job = jobs.load(Path(path), device=devices.resolve_device("auto"), named=plugins, tracking_uri=uri)
    for line in words.headline(job, job.rows()):
        click.echo(line)
    click.echo(f"{path} is sound.")


@main.command()
@click.option("--space", "path", required=True, help="The space file (YAML), with another domain in data.target.")
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as one JSON object.")
def shift(path: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Say what kind of shift lies between source and target; train nothing."""
    from hpo.data import dataset as data
    from hpo.shift import inputs, verdict
    from hpo.shift import text as words
    from hpo.space import loader
    from hpo.space.plugins import load

    load(plugins, Path(path).parent)
    spec = loader.load(Path(path)).data
    known = data.prepare(spec, Path(path).parent)
    domains = inputs.domains(spec, known)
    found = verdict.judge(domains)
    if as_json:
        click.echo(json.dumps(words.report(known.name, domains, found, known.notes)))
        return
    for line in words.lines(known.name, domains, found, known.notes):
        click.echo(line)


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@PLUGIN
def regularizers(name: str | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """List all that can stand under search: or say all of one."""
    from hpo.cli import regularizer_pages
    from hpo.regularizers import FAMILY
    from hpo.space.plugins import load

    load(plugins, Path())
    one = regularizer_pages.found(name) if name else None
    if as_json:
        known = regularizer_pages.facts(one) if one else [regularizer_pages.facts(member) for member in FAMILY.values()]
        click.echo(json.dumps(known, indent=2))
        return
    for line in regularizer_pages.page(one) if one else regularizer_pages.listed():
        click.echo(line)


@main.command()
@click.argument("data")
@click.option("--target", default="target", show_default=True, help="The column to predict.")
@click.option("-o", "--output", help="Where to write the space; default: standard output.")
def init(data: str, target: str, output: str | None) -> None:
    """Write a commented space for your own table, with ranges for its size."""
    from hpo.cli import space_template

    if output and Path(output).exists():
        raise InputError(f"{output} is there already; name another file with -o, or remove it first.")
    folder = Path(output).parent if output else Path()
    write(space_template.space_text(Path(data), target, folder), output)
    if output:
        click.echo(f"Wrote {output}. Next: hpo search --space {output}", err=True)
