"""The commands on a study: ui, export, report, ensemble, predict, studies, compare and delete."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo.cli.options import DEVICE, PLUGIN, STORE, STUDY, WORKERS, main, print_lines, write
from hpo.core.errors import InputError

if TYPE_CHECKING:
    from hpo.workflows.completed import CompletedStudy

_ENSEMBLES = ["bagging", "greedy", "stacking", "snapshot", "boosting"]


@main.command()
@STORE
@STUDY
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=5000, show_default=True, help="Port, or the next free one."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
def ui(store: str, study: str | None, port: int, browser: bool) -> None:
    """Open MLflow on a study. It lists the trials, best first, with strengths, scores and curves."""
    from hpo.study.directory import find_study
    from hpo.tracking import mlflow_server as server

    directory = find_study(Path(store), study)
    run = directory.mlflow()
    uri, page = run["tracking_uri"], (run["experiment_id"], run["run_id"])
    if uri.startswith("http"):
        _show(server.link(*page, uri.rstrip("/")), browser)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM must end the server, too
    click.echo(f"Starting MLflow for the study {directory.name} …", err=True)
    with server.serve_ui(uri, server.free_port(port), directory.folder / "ui.log") as base:
        _show(server.link(*page, base), browser)
        click.echo(
            f"If the browser cannot resolve {server.HOST}, use 127.0.0.1 instead. Ctrl-C stops the server.", err=True
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def _show(address: str, browser: bool) -> None:
    click.echo(address)
    # Without a desktop, Python would open the page in this terminal, in w3m or lynx.
    if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)


@main.command()
@STORE
@STUDY
@click.option(
    "--trial",
    metavar="TRIAL",
    help="Write this trial, not the selected one: a number, defaults, none, or a variant such as without-dropout-12.",
)
@click.option("-o", "--output", help="File for the configuration; default: standard output.")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--weights", help="Also write weights, network and preprocessing into this folder.")
@click.option(
    "--ensemble",
    type=click.Choice(_ENSEMBLES),
    help="With --weights: write the networks of an ensemble, not the final network.",
)
@click.option(
    "--pareto", is_flag=True, help="With several objectives: write each configuration of the front into the folder -o."
)
@PLUGIN
def export(
    store: str,
    study: str | None,
    trial: str | None,
    output: str | None,
    form: str,
    weights: str | None,
    ensemble: str | None,
    pareto: bool,
    plugins: tuple[str, ...],
) -> None:
    """Write the selected configuration, or any trial, as a space file. With --weights, also write the network."""
    from hpo.cli.result_text import store_option
    from hpo.study.directory import find_study
    from hpo.workflows import completed

    search = completed.load(find_study(Path(store), study), plugins)
    name = search.directory.name
    if ensemble and not weights:
        raise InputError("--ensemble chooses the weights to write: name a folder for them with --weights.")
    if trial and (ensemble or pareto):
        raise InputError("--trial writes a single configuration; leave --ensemble and --pareto out.")
    if pareto and (output is None or weights or form != "yaml"):
        raise InputError(
            "--pareto writes one YAML file per configuration: name a folder with -o, "
            "and leave --format and --weights out."
        )
    if pareto and output:
        for file in search.write_front(Path(output)):
            click.echo(f"Wrote {Path(output) / file}", err=True)
        return
    if weights:
        if ensemble:
            search.write_ensemble(Path(weights), ensemble)
        else:
            search.write_network(Path(weights), trial, store_option(store))
        click.echo(f"Wrote {weights}/weights.safetensors, network.json and preprocess.json of {name}.", err=True)
    if output or not weights:
        _write_configuration(search, trial, form, output)


def _write_configuration(search: CompletedStudy, trial: str | None, form: str, output: str | None) -> None:
    """Write the selected configuration, or that of `trial`, to the file `output` or to standard output."""
    from hpo.space.formatting import trial_name

    folder = Path(output).parent if output else Path()
    text = search.trial_configuration(trial, folder, form) if trial else search.configuration(folder, form)
    write(text, output)
    if output:
        written = trial_name(trial) if trial else "the selected configuration"
        click.echo(f"Wrote {output}, {written} of {search.directory.name}.", err=True)


@main.command()
@STORE
@STUDY
@click.option("-o", "--output", default="report.html", show_default=True, help="File for the report.")
@PLUGIN
def report(store: str, study: str | None, output: str, plugins: tuple[str, ...]) -> None:
    """Write one page on a study. It shows the amount of regularization, what mattered, and the largest errors."""
    from hpo.study.directory import find_study
    from hpo.workflows import completed

    search, started = completed.load(find_study(Path(store), study), plugins), time.time()
    search.write_report(Path(output))
    click.echo(f"Wrote {output} ({time.time() - started:.1f} s).", err=True)


@main.command()
@STORE
@STUDY
@click.option(
    "--kind", type=click.Choice(_ENSEMBLES), default="greedy", show_default=True, help="The kind of ensemble."
)
@click.option(
    "--size",
    type=click.IntRange(2, 100),
    default=10,
    show_default=True,
    help="Number of members; greedy and stacking may use fewer.",
)
@click.option(
    "--pool",
    type=click.IntRange(1, 1000),
    help="For greedy and stacking: number of best trials to choose from. [default: 30]",
)
@WORKERS
@DEVICE
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="Print the ensemble as one JSON object.")
@click.option("--quiet", is_flag=True, help="Print only the result.")
def ensemble(
    store: str,
    study: str | None,
    kind: str,
    size: int,
    pool: int | None,
    workers: int,
    device: str,
    plugins: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Make an ensemble from a finished study. It is compared with the single network on the test rows."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from rich.console import Console

    from hpo.cli import progress, result_text
    from hpo.cli.display import Display
    from hpo.core.json_values import to_json
    from hpo.nn import device as devices
    from hpo.space.settings import POOLED_ENSEMBLES, EnsembleConfig
    from hpo.study.directory import find_study
    from hpo.training.worker import start_workers
    from hpo.workflows import add_ensemble, completed

    if pool is not None and kind not in POOLED_ENSEMBLES:
        raise InputError(f"--pool is what greedy and stacking choose from; leave it out with --kind {kind}.")
    config = EnsembleConfig.model_validate({"kind": kind, "size": size} | ({} if pool is None else {"pool": pool}))
    search = completed.load(find_study(Path(store), study), plugins)
    watcher = progress.StepProgress(Display(Console(stderr=True, markup=False, quiet=quiet)))
    with start_workers(workers) as processes:
        torch_device = devices.resolve_device(device, workers)
        result = add_ensemble.add(search, config, torch_device, watcher, workers=processes)
    if as_json:
        click.echo(json.dumps(to_json(result)))
    else:
        print_lines(result_text.ensemble_lines(result, completed.load(search.directory, plugins).result, store))


@main.command()
@click.argument("data")
@click.option("--weights", required=True, help="The folder that `hpo export --weights` wrote.")
@click.option("-o", "--output", help="File for the predictions (CSV); default: standard output.")
def predict(data: str, weights: str, output: str | None) -> None:
    """Predict the rows of a .csv, .parquet, .svmlight or .libsvm file with exported weights."""
    from hpo.export import predict as predictions

    if output and Path(output).resolve() == Path(data).resolve():
        raise InputError(f"{output} is the input file; name another file with -o.")
    write(predictions.predict(Path(data), Path(weights)).to_csv(index=False), output)


@main.command()
@STORE
def studies(store: str) -> None:
    """List the studies in the store."""
    from hpo.cli import messages
    from hpo.space import formatting
    from hpo.study import directory

    directories = directory.studies(Path(store))
    if not directories:
        click.echo(f"There is no study in {store} yet; start one with: hpo search --space SPACE.yaml", err=True)
        return
    head = ["study", "state", "trials", "selected", "expected", "test", "date"]
    rows = [row for entry in directories for row in messages.study_rows(entry)]
    for line in formatting.align_rows([head, *rows], gap=2):
        click.echo(line)


@main.command()
@click.argument("first")
@click.argument("second")
@STORE
@PLUGIN
def compare(first: str, second: str, store: str, plugins: tuple[str, ...]) -> None:
    """Test whether two selections differ significantly. FIRST and SECOND are studies."""
    from hpo.cli import result_text
    from hpo.study.directory import find_study
    from hpo.workflows import compare as comparison
    from hpo.workflows import completed

    a, b = (completed.load(find_study(Path(store), name), plugins) for name in (first, second))
    print_lines(result_text.comparison_lines(a, b, comparison.compare(a, b)))


@main.command()
@click.argument("study")
@STORE
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
def delete(study: str, store: str, yes: bool) -> None:
    """Remove a study. That includes its weights, MLflow runs and artifacts."""
    from hpo.study.directory import find_study
    from hpo.tracking import mlflow_cleanup

    directory = find_study(Path(store), study)
    if not yes and not _confirmed(f"Remove the study {study} from {store}, with its MLflow runs?"):
        click.echo(f"{study} is kept.", err=True)
        return
    with directory.locked():
        run = directory.mlflow(required=False)
        if run:
            artifacts = Path(store) / "artifacts" / study
            mlflow_cleanup.delete_runs(run["tracking_uri"], run["experiment_id"], run["run_id"], artifacts)
        directory.remove()
    click.echo(f"Removed {study}.", err=True)


def _confirmed(question: str) -> bool:
    """Ask the user. Raises InputError if standard input is not a terminal, KeyboardInterrupt after Ctrl-C."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise KeyboardInterrupt from error
        raise InputError("\nhpo delete needs a confirmation, and got no answer; add --yes.") from error
