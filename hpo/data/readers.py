"""Read files of rows: one reader per suffix, listed in `READERS`."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data import svmlight

# Called with the path, the columns to read as text if the file has no types, and the name of the target if the file
# names no columns. `read_file` turns a ValueError or OSError into an InputError that names the file.
Reader = Callable[[Path, Sequence[str], str], pd.DataFrame]


def _read_csv(path: Path, text_columns: Sequence[str], label: str) -> pd.DataFrame:
    del label
    shown = truncate(str(path), 300)
    # pandas renames the second of two columns with the same name, and uses the first column as an index if rows are too
    # long: the training data would differ from the file.
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, index_col=False).iloc[0].dropna()
        for column in header[header.duplicated()]:
            raise InputError(f"{shown}: the column {truncate(column)} occurs twice; rename or remove one of them.")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, dtype=dict.fromkeys(text_columns, str), index_col=False, low_memory=False)
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{shown} is empty; it needs a header with the names of its columns, and rows.") from error
    except pd.errors.ParserWarning as error:
        raise InputError(f"{shown} cannot be read: its rows hold more values than its header has names.") from error
    if len(frame.columns) == 1 and {";", "\t"} & {*frame.columns[0]}:
        raise InputError(f"{shown} must be separated by commas, but its header is {truncate(frame.columns[0])}.")
    return frame


def _read_parquet(path: Path, text_columns: Sequence[str], label: str) -> pd.DataFrame:
    del text_columns, label
    frame = pd.read_parquet(path)
    frame.columns = frame.columns.map(str)
    for column in (c for c in frame.columns if pd.api.types.is_object_dtype(frame[c])):
        if (
            pd.api.types.infer_dtype(frame[column], skipna=True) == "decimal"
        ):  # the type of numbers in exports of databases
            frame[column] = frame[column].astype("float64")
    return frame


READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    **dict.fromkeys(svmlight.SUFFIXES, svmlight.read),
}
_SUFFIXES = list(READERS)
FILE_KINDS = f"a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file"  # for messages


def is_readable(name: str) -> bool:
    """Whether a reader exists for the suffix of a file name."""
    return Path(name).suffix.lower() in READERS


def read_file(path: Path, text_columns: Sequence[str] = (), label: str = "target") -> pd.DataFrame:
    """Read a file of rows; `label` names the target if the file names no columns. Raises InputError."""
    check_file(path)
    shown = truncate(str(path), 300)
    try:
        frame = READERS[path.suffix.lower()](path, text_columns, label)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{shown} must be text in UTF-8, but holds the byte {byte:#04x}.") from error
    except (ValueError, OSError) as error:  # errors of pandas and pyarrow are ValueErrors
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise InputError(f"{shown} cannot be read: {truncate(reason or type(error).__name__, 160)}.") from error
    frame.columns = frame.columns.map(str)
    return frame.reset_index(drop=True)


def check_file(path: Path) -> None:
    """Raise InputError if `path` is not an existing file with a reader."""
    shown = truncate(str(path), 300)
    if not is_readable(path.name):
        raise InputError(f"{shown} must be {FILE_KINDS}.")
    try:
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise InputError(f"{shown} does not exist; name {FILE_KINDS}.") from error
    if is_directory:
        raise InputError(f"{shown} is a directory; name {FILE_KINDS} in it.")
