import math
import os
import pickle
import time

import pytest

from optimand.core.pictures import Values
from optimand.core.recorder import Diverged, Recorder, write_atomically


def test_records_keep_order_split_and_value():
    recorder = Recorder(10)
    recorder.record(5, "valid", loss=1.5, accuracy=0.5)
    recorder.record(10, "valid", loss=1.0)
    assert [(r.at, r.split, r.metric, r.value) for r in recorder.records] == [
        (5, "valid", "loss", 1.5),
        (5, "valid", "accuracy", 0.5),
        (10, "valid", "loss", 1.0),
    ]
    assert recorder.last("valid", "loss") == 1.0
    assert math.isnan(recorder.last("test", "loss"))


def test_the_stopwatch_counts_timed_blocks_only():
    recorder = Recorder(10)
    with recorder.timed():
        time.sleep(0.02)
    inside = recorder.seconds
    time.sleep(0.05)
    assert recorder.seconds == inside
    assert inside >= 0.02


def test_time_is_charged_also_when_the_block_raises():
    recorder = Recorder(10)

    def run():
        with recorder.timed():
            time.sleep(0.01)
            raise Diverged(3, "loss is nan")

    with pytest.raises(Diverged, match="diverged at 3: loss is nan"):
        run()
    assert recorder.seconds >= 0.01


def test_progress_is_the_share_of_the_budget():
    seen = []
    recorder = Recorder(4, progress=seen.append)
    for at in (1, 4, 5):
        recorder.progress(at)
    assert seen == [0.25, 1.0, 1.0]


def test_a_checkpoint_brings_everything_back(tmp_path):
    path = tmp_path / "run.checkpoint"
    recorder = Recorder(10, checkpoint=path, checkpoint_every=0)
    with recorder.timed():
        recorder.record(3, "train", loss=2.0)
    recorder.cost(state_bytes=8)
    recorder.note(device="cpu")
    recorder.picture("scores", Values("scores", "score", [0.5]))
    assert recorder.checkpoint_due()
    recorder.save(b"state")
    fresh = Recorder(10, checkpoint=path)
    assert fresh.restore() == b"state"
    assert fresh.records == recorder.records
    assert fresh.costs == {"state_bytes": 8.0}
    assert fresh.notes == {"device": "cpu"}
    assert fresh.pictures == recorder.pictures
    assert list(fresh.pictures) == ["scores"]
    assert fresh.seconds == recorder.seconds
    fresh.clear_checkpoint()
    assert not path.exists()
    assert Recorder(10, checkpoint=path).restore() is None


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05garbage",
        pickle.dumps(([1], {}, {}, {}, 0.0, b"of a former version")),
        pickle.dumps((0, 1, 2, 3, 4, 5, 6)),
    ],
    ids=["damaged", "no format", "another format"],
)
def test_a_checkpoint_that_cannot_be_used_is_dropped_and_the_run_starts_afresh(tmp_path, content):
    path = tmp_path / "run.checkpoint"
    path.write_bytes(content)
    recorder = Recorder(10, checkpoint=path)
    assert recorder.restore() is None
    assert recorder.records == []
    assert not path.exists()


def test_checkpoints_come_only_after_their_interval(tmp_path):
    recorder = Recorder(10, checkpoint=tmp_path / "c", checkpoint_every=1000)
    assert not recorder.checkpoint_due()
    assert not Recorder(10).checkpoint_due()
    Recorder(10).save(b"nowhere to write to")
    Recorder(10).clear_checkpoint()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
