"""Files of rows as they are: .csv, .parquet and .svmlight."""

from __future__ import annotations

import stat
import warnings
from pathlib import Path

import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data import svmlight
from hpo.data.config import SPARSE, SUFFIXES

_A_FILE = "a .csv, .parquet or .svmlight file"


def read_file(path: Path, text: tuple[str, ...] = (), label: str = "target") -> pd.DataFrame:
    """A file as it is; the columns `text` of a .csv are read as text, and the label of an .svmlight, which has no names, gets one.
    Raises InputError in one sentence."""
    check_file(path)
    shown = truncate(str(path), 300)
    try:
        if path.suffix.lower() in SPARSE:
            return svmlight.read(path, label)
        frame = _read_csv(path, text) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{shown} must be text in UTF-8, but holds the byte {byte:#04x}.") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{shown} is empty; it needs a header with the names of its columns, and rows.") from error
    except pd.errors.ParserWarning as error:
        raise InputError(f"{shown} cannot be read: its rows hold more values than its header has names.") from error
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors among them
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise InputError(f"{shown} cannot be read: {truncate(reason or type(error).__name__, 160)}.") from error
    frame.columns = frame.columns.map(str)
    if len(frame.columns) == 1 and {";", "\t"} & {*frame.columns[0]}:
        raise InputError(f"{shown} must be separated by commas, but its header is {truncate(frame.columns[0])}.")
    for column in (c for c in frame.columns if pd.api.types.is_object_dtype(frame[c])):
        if pd.api.types.infer_dtype(frame[column], skipna=True) == "decimal":  # what data bases write into .parquet
            frame[column] = frame[column].astype("float64")
    return frame.reset_index(drop=True)


def check_file(path: Path) -> None:
    """Raises InputError if `path` is not an existing file of these."""
    shown = truncate(str(path), 300)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{shown} must be {_A_FILE}.")
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise InputError(f"{shown} does not exist; name {_A_FILE}.") from error
    if folder:
        raise InputError(f"{shown} is a directory; name {_A_FILE} in it.")


def _read_csv(path: Path, text: tuple[str, ...]) -> pd.DataFrame:
    # pandas renames the second of two columns of one name, and takes the first column of rows that are too long for an
    # index: both would train on something else than the file says.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, index_col=False).iloc[0].dropna()
    for column in header[header.duplicated()]:
        raise InputError(
            f"{truncate(str(path), 300)}: the column {truncate(column)} occurs twice; rename or remove one of them."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=dict.fromkeys(text, str), index_col=False, low_memory=False)
