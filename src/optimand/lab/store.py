"""The store: one Parquet file per finished run, written atomically, readable without this package.

A study lives in a folder::

    study.json        what was asked for, with the command and the environment
    runs/<id>.parquet one file per run: its records as rows, its outcome in the columns and the metadata
    scratch/          checkpoints and progress of unfinished runs
    report.html       the page, built from the above alone

``select * from 'runs/*.parquet'`` in DuckDB, or ``polars.read_parquet``, gives all records of a study.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.recorder import Record, write_atomically
from ..core.validation import OptimandError

if TYPE_CHECKING:
    import polars as pl

METADATA_KEY = b"optimand"
INFO_KEYS = ("spec", "problems", "methods")  # what study.json must hold

CURVE_SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("problem", pa.string()),
        ("method", pa.string()),
        ("phase", pa.string()),
        ("trial", pa.int32()),
        ("seed", pa.int32()),
        ("status", pa.string()),
        ("hyper", pa.string()),
        ("spent", pa.float64()),
        ("seconds", pa.float64()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)


# Columns that differ from record to record, with the record's attribute ("at" is a word of SQL).
RECORD_COLUMNS = {"spent": "at", "seconds": "seconds", "split": "split", "metric": "metric", "value": "value"}


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        run: its id.
        problem, method: as typed on the command line.
        phase: ``tune`` or ``final``.
        trial: number of the tuning trial; -1 in the final phase.
        seed: number of the seed.
        status: ``ok``, ``diverged`` or ``failed`` (the code raised an error).
        message: what went wrong, if anything did.
        diverged_at: position in the budget's unit; NaN unless diverged.
        budget: the budget, in the problem's unit.
        valid, test: final value of the problem's metric; NaN unless ok.
        seconds: time charged to the method.
        hyper: all hyperparameters.
        costs: measured costs, e.g. ``state_bytes``.
        notes: facts that are no numbers, e.g. the device.
        pictures: what the run looked like, by name; see :mod:`optimand.core.pictures`.
    """

    run: str
    problem: str
    method: str
    phase: str
    trial: int
    seed: int
    status: str
    message: str = ""
    diverged_at: float = math.nan
    budget: int = 0
    valid: float = math.nan
    test: float = math.nan
    seconds: float = math.nan
    hyper: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Store:
    """The folder of one study.

    Args:
        folder: created by :meth:`create`; an existing one is opened as it is.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.runs = self.folder / "runs"
        self.scratch = self.folder / "scratch"

    def create(self) -> Store:
        """Make the folders; OptimandError if that is impossible."""
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            self.scratch.mkdir(exist_ok=True)
            probe = self.scratch / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise OptimandError(f"store {str(self.folder)!r} cannot be written: {error.strerror or error}") from error
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study for one writer; OptimandError if another process has it."""
        import filelock

        lock = filelock.FileLock(self.scratch / "lock", timeout=0)
        try:
            with lock:
                for folder in (self.runs, self.scratch):
                    for leftover in folder.glob(".*.tmp"):  # of a writer that was killed
                        leftover.unlink(missing_ok=True)
                yield
        except filelock.Timeout as error:
            raise OptimandError(
                f"store {str(self.folder)!r} is being written by another process; wait for it or stop it"
            ) from error

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Write ``study.json``; OptimandError if that is impossible."""
        path = self.folder / "study.json"
        try:
            write_atomically(path, (json.dumps(info, indent=2) + "\n").encode())
        except OSError as error:
            raise OptimandError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error

    def read_info(self) -> dict[str, Any]:
        """Read ``study.json``; OptimandError if it is missing or damaged."""
        path = self.folder / "study.json"
        if not path.is_file():
            raise OptimandError(f"{str(self.folder)!r} holds no study (no study.json)")
        try:
            info = json.loads(path.read_text())
        except (ValueError, OSError) as error:
            raise OptimandError(f"{str(path)!r} is damaged: {error}") from error
        missing = [k for k in INFO_KEYS if not isinstance(info, dict) or k not in info]
        if missing:
            raise OptimandError(f"{str(path)!r} is damaged: it lacks {', '.join(missing)}")
        return info

    def run_path(self, run: str) -> Path:
        """The file of a run."""
        return self.runs / f"{run}.parquet"

    def write_run(self, outcome: Outcome, records: list[Record]) -> None:
        """Write a finished run; replaces nothing but an identical run's file."""
        constant = {**vars(outcome), "hyper": json.dumps(dict(outcome.hyper), sort_keys=True, default=str)}
        columns = []
        for column in CURVE_SCHEMA:
            attribute = RECORD_COLUMNS.get(column.name)
            values = [getattr(r, attribute) if attribute else constant[column.name] for r in records]
            columns.append(pa.array(values, column.type))
        content = json.dumps(asdict(outcome), default=str).encode()
        table = pa.Table.from_arrays(columns, schema=CURVE_SCHEMA.with_metadata({METADATA_KEY: content}))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_atomically(self.run_path(outcome.run), sink.getvalue().to_pybytes())

    def read_run(self, path: Path) -> tuple[Outcome, pa.Table]:
        """Read a run's file; OptimandError names it if it is damaged."""
        try:
            with pq.ParquetFile(path) as file:  # pq.read_table imports pandas
                table = file.read()
            outcome = Outcome(**json.loads((table.schema.metadata or {})[METADATA_KEY]))
            if table.schema.names != CURVE_SCHEMA.names or outcome.run != path.stem:
                raise ValueError("it is not the file of this run")
        except Exception as error:  # damaged files raise whatever they like
            raise OptimandError(f"run file {str(path)!r} is damaged: {type(error).__name__}: {error}") from error
        return outcome, table

    def set_aside_damaged(self) -> list[str]:
        """Rename damaged run files to ``….parquet.damaged``, so that their runs are made again; returns their names."""
        names = []
        for path in sorted(self.runs.glob("*.parquet")):
            try:
                self.read_run(path)
            except OptimandError:
                path.replace(path.with_name(path.name + ".damaged"))
                names.append(path.name)
        return names

    def load(self) -> Results:
        """All runs that the study consists of; damaged files are skipped and named in ``Results.damaged``."""
        import polars as pl

        info = self.read_info()
        counted = set(info.get("runs", ()))
        outcomes: list[Outcome] = []
        tables: list[pa.Table] = []
        damaged: list[str] = []
        for path in sorted(self.runs.glob("*.parquet")):
            try:
                outcome, table = self.read_run(path)
            except OptimandError:
                damaged.append(path.name)
                continue
            if counted and outcome.run not in counted:
                continue
            outcomes.append(outcome)
            tables.append(table.replace_schema_metadata(None))
        # A file that was set aside counts as long as its run has not been made again.
        damaged += sorted(p.name for p in self.runs.glob("*.damaged") if not p.with_suffix("").exists())
        joined = pa.concat_tables(tables) if tables else CURVE_SCHEMA.empty_table()
        curves = pl.from_arrow(joined)
        assert isinstance(curves, pl.DataFrame)
        return Results(info, outcomes, curves, damaged)


@dataclass(frozen=True)
class Results:
    """A study as stored.

    Attributes:
        info: the content of ``study.json``.
        outcomes: one a run, in no particular order.
        curves: the records of all runs, with the columns of ``CURVE_SCHEMA``.
        damaged: names of the run files that could not be read.
    """

    info: dict[str, Any]
    outcomes: list[Outcome]
    curves: pl.DataFrame
    damaged: list[str]

    def select(self, problem: str, method: str, phase: str = "final") -> list[Outcome]:
        """The outcomes of a method on a problem, in the order of trial and seed."""
        found = [o for o in self.outcomes if (o.problem, o.method, o.phase) == (problem, method, phase)]
        return sorted(found, key=lambda o: (o.trial, o.seed))
