import json
import math
import os

import duckdb
import polars as pl
import pytest

from optimand.core.recorder import Record
from optimand.core.validation import OptimandError
from optimand.lab.store import METADATA_KEY, Outcome, Store

RECORDS = [Record(1, 0.1, "valid", "loss", 2.0), Record(2, 0.2, "valid", "loss", math.nan)]


def outcome(run="a.b.seed0.x", **changes):
    base = {"run": run, "problem": "p", "method": "m", "phase": "final", "trial": -1, "seed": 0, "status": "ok"}
    return Outcome(**{**base, **changes})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "study").create()
    made.write_info({"spec": {}, "problems": {}, "methods": {}})
    return made


def test_a_run_comes_back_as_written(store):
    written = outcome(
        valid=0.5, hyper={"lr": 0.1, "betas": [0.9, 0.99]}, costs={"state_bytes": 8.0}, notes={"d": "cpu"}
    )
    store.write_run(written, RECORDS)
    read, table = store.read_run(store.run_path(written.run))
    assert str(read) == str(written)  # NaN fields differ from themselves
    assert table.num_rows == 2


def test_all_runs_load_into_one_frame(store):
    store.write_run(outcome("a"), RECORDS)
    store.write_run(outcome("b", seed=1), RECORDS)
    results = store.load()
    assert isinstance(results.curves, pl.DataFrame)
    assert results.curves["run"].to_list() == ["a", "a", "b", "b"]
    assert [o.seed for o in results.select("p", "m")] == [0, 1]
    assert results.select("p", "other") == []


def test_duckdb_reads_the_store_without_this_package(store):
    store.write_run(outcome(), RECORDS)
    row = duckdb.sql(f"select method, max(spent) from '{store.runs}/*.parquet' group by method").fetchall()
    assert row == [("m", 2.0)]


def test_a_run_without_records_is_kept(store):
    store.write_run(outcome(status="failed", message="broken"), [])
    assert store.load().outcomes[0].message == "broken"


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty", "foreign"])
def test_damaged_files_are_named_skipped_and_set_aside(store, damage):
    store.write_run(outcome("good"), RECORDS)
    store.write_run(outcome("bad"), RECORDS)
    path = store.run_path("bad")
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "garbage":
        path.write_bytes(b"not parquet at all")
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(store.run_path("good").read_bytes())
    with pytest.raises(OptimandError, match=r"run file .*bad\.parquet' is damaged"):
        store.read_run(path)
    results = store.load()
    assert [o.run for o in results.outcomes] == ["good"]
    assert results.damaged == ["bad.parquet"]
    assert store.set_aside_damaged() == ["bad.parquet"]
    assert not path.exists()
    assert store.load().damaged == ["bad.parquet.damaged"]
    store.write_run(outcome("bad"), RECORDS)
    assert store.load().damaged == []  # made again


def test_an_unwritable_folder_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(OptimandError, match="cannot be written: Not a directory"):
        Store(file / "study").create()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OptimandError, match="cannot be written"):
        Store(tmp_path / "study").create()


def test_only_one_writer_at_a_time(store):
    with store.locked(), pytest.raises(OptimandError, match="is being written by another process"), store.locked():
        pass
    with store.locked():
        pass


def test_litter_of_a_killed_writer_is_removed(store):
    litter = store.runs / ".a.parquet.abc.tmp"
    litter.write_bytes(b"half")
    with store.locked():
        assert not litter.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"problems": {}}'])
def test_a_damaged_description_is_named(store, content):
    (store.folder / "study.json").write_text(content)
    with pytest.raises(OptimandError, match=r"study\.json' is damaged"):
        store.read_info()


def test_a_description_that_cannot_be_written_is_named(store):
    (store.folder / "study.json").unlink()
    (store.folder / "study.json").mkdir()
    with pytest.raises(OptimandError, match=r"study\.json' cannot be written"):
        store.write_info({})


def test_only_the_runs_that_the_study_consists_of_count(store):
    store.write_run(outcome("a"), RECORDS)
    store.write_run(outcome("left-over"), RECORDS)
    assert len(store.load().outcomes) == 2
    store.write_info({"spec": {}, "problems": {}, "methods": {}, "runs": ["a"]})
    assert [o.run for o in store.load().outcomes] == ["a"]


def test_a_folder_without_study_is_named(tmp_path):
    with pytest.raises(OptimandError, match="holds no study"):
        Store(tmp_path).load()


def test_the_outcome_is_json_in_the_metadata(store):
    store.write_run(outcome(), RECORDS)
    import pyarrow.parquet as pq

    metadata = pq.read_schema(store.run_path(outcome().run)).metadata
    assert json.loads(metadata[METADATA_KEY])["status"] == "ok"
