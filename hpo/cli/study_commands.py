"""The commands on what was searched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import webbrowser
from pathlib import Path

import click

from hpo.cli.options import DEVICE, PLUGIN, STORE, STUDY, main, write
from hpo.core.errors import InputError

_ENSEMBLES = ["bagging", "greedy", "stacking", "snapshot", "boosting"]


@main.command()
@STORE
@STUDY
@click.option("--port", type=click.IntRange(1, 65_535), default=5000, show_default=True, help="Or the next free one.")
@click.option("--browser/--no-browser", default=True, help="Whether to open the page in a browser.")
def ui(store: str, study: str | None, port: int, browser: bool) -> None:
    """Open MLflow's page on a search: its trials best first, with strengths, scores and curves."""
    from hpo.study.directory import find_study
    from hpo.tracking import mlflow_server as pages

    place = find_study(Path(store), study)
    where = place.mlflow()
    uri, page = where["tracking_uri"], (where["experiment_id"], where["run_id"])
    if uri.startswith("http"):
        _show(pages.link(*page, uri.rstrip("/")), browser)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server ends with us
    click.echo(f"Starting MLflow's UI for the study {place.name} …", err=True)
    with pages.serve_ui(uri, pages.free_port(port), place.folder / "ui.log") as base:
        _show(pages.link(*page, base), browser)
        click.echo(f"(A browser that does not know {pages.HOST} wants 127.0.0.1 in its place. Ctrl-C ends.)", err=True)
        with contextlib.suppress(KeyboardInterrupt):  # that is how one leaves
            signal.pause()


def _show(address: str, browser: bool) -> None:
    click.echo(address)
    # Without a desktop, Python would open the page in this terminal, in w3m or lynx.
    if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)


@main.command()
@STORE
@STUDY
@click.option("-o", "--output", help="Where to write the configuration; default: standard output.")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--weights", help="Also write weights, network and preprocessing into this folder.")
@click.option(
    "--ensemble", type=click.Choice(_ENSEMBLES), help="With --weights: those of an ensemble, not of the single network."
)
@click.option(
    "--pareto", is_flag=True, help="Of several objectives: write each configuration of the front into the folder -o."
)
@PLUGIN
def export(
    store: str,
    study: str | None,
    output: str | None,
    form: str,
    weights: str | None,
    ensemble: str | None,
    pareto: bool,
    plugins: tuple[str, ...],
) -> None:
    """Write the selected configuration, itself a space of one point."""
    from hpo.study.directory import find_study
    from hpo.workflows import completed

    search = completed.load(find_study(Path(store), study), plugins)
    if ensemble and not weights:
        raise InputError("--ensemble says which weights are written: name a folder for them with --weights.")
    if pareto:
        if output is None or weights or form != "yaml":
            raise InputError(
                "--pareto writes a YAML file a configuration: name a folder with -o, and leave --format and --weights out."
            )
        for name in search.write_front(Path(output)):
            click.echo(f"Wrote {Path(output) / name}", err=True)
        return
    folder = Path(output).parent if output else Path()
    if weights:
        if ensemble:
            search.write_ensemble(Path(weights), ensemble)
        else:
            search.write_network(Path(weights))
        click.echo(
            f"Wrote {weights}/weights.safetensors, network.json and preprocess.json of {search.place.name}.", err=True
        )
    if output or not weights:
        write(search.configuration(folder, form), output)
    if output:
        click.echo(f"Wrote {output}, the selected configuration of {search.place.name}.", err=True)


@main.command()
@STORE
@STUDY
@click.option("-o", "--output", default="report.html", show_default=True, help="Where to write the page.")
@PLUGIN
def report(store: str, study: str | None, output: str, plugins: tuple[str, ...]) -> None:
    """Write one page on a search: over- or under-regularized, what mattered, what it gets wrong."""
    from hpo.study.directory import find_study
    from hpo.workflows import completed

    search, began = completed.load(find_study(Path(store), study), plugins), time.time()
    search.write_report(Path(output))
    click.echo(f"Wrote {output} ({time.time() - began:.1f} s).", err=True)


@main.command()
@STORE
@STUDY
@click.option("--kind", type=click.Choice(_ENSEMBLES), default="greedy", show_default=True, help="How it is made.")
@click.option(
    "--size",
    type=click.IntRange(2, 100),
    default=10,
    show_default=True,
    help="Members, or how many are taken of the pool.",
)
@click.option(
    "--pool",
    type=click.IntRange(1, 1000),
    help="Of greedy and stacking: how many of the best trials there are to choose from. [default: 30]",
)
@DEVICE
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print what came out as one JSON object.")
@click.option("--quiet", is_flag=True, help="Say only what came out.")
def ensemble(
    store: str,
    study: str | None,
    kind: str,
    size: int,
    pool: int | None,
    device: str,
    plugins: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Make an ensemble of a finished search, and score it beside the single network."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from rich.console import Console

    from hpo.cli import progress, result_text
    from hpo.nn import device as devices
    from hpo.space.settings import EnsembleConfig
    from hpo.study.directory import find_study
    from hpo.workflows import add_ensemble, completed
    from hpo.workflows import search as searching

    if pool is not None and kind not in ("greedy", "stacking"):
        raise InputError(f"--pool is what greedy and stacking choose from; leave it out with --kind {kind}.")
    wish = EnsembleConfig.model_validate({"kind": kind, "size": size} | ({} if pool is None else {"pool": pool}))
    search = completed.load(find_study(Path(store), study), plugins)
    watcher = searching.Watcher() if quiet else progress.Counting(Console(stderr=True, markup=False))
    entry = add_ensemble.add(search, wish, devices.resolve_device(device), watcher)
    if as_json:
        click.echo(json.dumps(entry))
        return
    for line in result_text.ensemble_ending(entry, completed.load(search.place, plugins).result, store):
        click.echo(line)


@main.command()
@click.argument("data")
@click.option("--weights", required=True, help="The folder that `hpo export --weights` wrote.")
@click.option("-o", "--output", help="Where to write the predictions (CSV); default: standard output.")
def predict(data: str, weights: str, output: str | None) -> None:
    """Predict the rows of a .csv or .parquet with exported weights."""
    from hpo.export import predict as predictions

    if output and Path(output).resolve() == Path(data).resolve():
        raise InputError(f"{output} is the table itself; name another file with -o.")
    write(predictions.predict(Path(data), Path(weights)).to_csv(index=False), output)


@main.command()
@STORE
def studies(store: str) -> None:
    """List the studies in the store."""
    from hpo.cli import messages
    from hpo.space import formatting
    from hpo.study.directory import studies as places

    found = places(Path(store))
    if not found:
        click.echo(f"There is no study in {store} yet; begin one with: hpo search --space SPACE.yaml", err=True)
        return
    for line in formatting.table(
        [["study", "state", "trials", "best valid", "selected test", "date"], *map(messages.study_line, found)]
    ):
        click.echo(line)


@main.command()
@click.argument("first")
@click.argument("second")
@STORE
@PLUGIN
def compare(first: str, second: str, store: str, plugins: tuple[str, ...]) -> None:
    """Say whether the selections of two studies differ beyond noise."""
    from hpo.cli import result_text
    from hpo.study.directory import find_study
    from hpo.workflows import compare as comparison
    from hpo.workflows import completed

    a, b = (completed.load(find_study(Path(store), name), plugins) for name in (first, second))
    for line in result_text.comparison(a, b, comparison.compare(a, b)):
        click.echo(line)


@main.command()
@click.argument("study")
@STORE
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(study: str, store: str, yes: bool) -> None:
    """Remove a study: its trials, weights, runs in MLflow and artifacts."""
    from hpo.study.directory import find_study
    from hpo.tracking import mlflow_cleanup

    place = find_study(Path(store), study)
    if not yes and not _sure(f"Remove the study {study} from {store}, with its runs in MLflow?"):
        click.echo(f"{study} stays.", err=True)
        return
    with place.locked():
        where = place.mlflow(required=False)
        if where:
            mlflow_cleanup.delete_runs(
                where["tracking_uri"], where["experiment_id"], where["run_id"], Path(store) / "artifacts" / study
            )
        place.remove()
    click.echo(f"Removed {study}.", err=True)


def _sure(question: str) -> bool:
    """Asks. Raises InputError where nobody can answer, KeyboardInterrupt if somebody would rather not."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise KeyboardInterrupt from error
        raise InputError("\nhpo delete asks before it removes, and got no answer; add --yes.") from error
