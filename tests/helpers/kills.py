"""The search that tests kill, and its progress as seen in the journal."""

from hpo.study.directory import StudyDirectory

TRIALS = 30
# Proposals and pruning depend on the trials that have ended; an interrupted search must reproduce the result exactly.
KILLED_SPACE = {
    "data": {"source": "sklearn:wine", "split": {"valid": 0.4}},  # two folds in each re-evaluation
    "train": {"epochs": 60, "batch_size": 16, "patience": 6, "metric": "accuracy"},  # trials end at different epochs
    "budget": {"trials": TRIALS},
    "sampler": {"kind": "tpe", "n_startup_trials": 4},
    "pruner": {"kind": "median", "n_startup_trials": 3},
    "seed": 2,  # selects a trial whose ablation is not a finalist
}
TIME_KEYS = ("started", "epoch_times")  # the only fields of an outcome that may differ between two runs


def journal_bytes(store) -> bytes:
    """Read the journal in its current state."""
    journal = StudyDirectory(store, "tiny").journal
    return journal.read_bytes() if journal.exists() else b""


def count_ended(store) -> int:
    """Count the outcomes in the journal of a study that is being written."""
    return journal_bytes(store).count(b'"outcome')
