"""The paper's seed pools, where the data are there."""

from __future__ import annotations

import json
import os

import pytest

from optimand.core.validation import OptimandError
from optimand.language.modeling.resocratic import ReSocratic, SimulatedAuthor, check_scenario, load_pool, read_formal

needs_data = pytest.mark.skipif(
    not os.environ.get("OPTIMAND_DATA"), reason="set OPTIMAND_DATA to the folder that holds optibench-resocratic"
)


@needs_data
def test_26_of_27_demonstrations_pass_and_nonlinear_9_lacks_a_formal_line() -> None:
    faulty = [
        (kind, k, [fault.name for fault in check_scenario(one.text)])
        for kind in ("linear", "nonlinear")
        for k, one in enumerate(load_pool(kind))
        if not one.valid
    ]
    assert (len(load_pool("linear")), len(load_pool("nonlinear"))) == (13, 14)
    assert faulty == [("nonlinear", 9, ["no-formal"])]


@needs_data
def test_formal_lines_of_24_demonstrations_are_read() -> None:
    unread = [
        (kind, k)
        for kind in ("linear", "nonlinear")
        for k, one in enumerate(load_pool(kind))
        if one.valid and read_formal(one.scenario).formulation is None
    ]
    assert unread == [("linear", 11), ("linear", 12)]
    assert read_formal(load_pool("nonlinear")[3].scenario).formulation.solve().objective == pytest.approx(2.7121212)


@needs_data
def test_the_plan_leaves_out_the_faulty_demonstration() -> None:
    maker = ReSocratic(SimulatedAuthor(0), (*load_pool("linear"), *load_pool("nonlinear")))
    assert len(maker.plan) == 5200 + 5200


def test_pools_of_the_published_form_are_read(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "optibench-resocratic"
    folder.mkdir()
    (folder / "seed_pool_linear.json").write_text(json.dumps([{"scenario": "## Define Variables:\nA.\n// x"}]))
    (folder / "seed_pool_nonlinear.json").write_text("{}")
    assert len(load_pool("linear", tmp_path)) == 1
    assert load_pool("nonlinear", tmp_path) == ()
    (folder / "seed_pool_nonlinear.json").write_text("[1]")
    with pytest.raises(OptimandError, match="must be a JSON list"):
        load_pool("nonlinear", tmp_path)
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA"):
        load_pool("linear")
    with pytest.raises(OptimandError, match="is not there"):
        load_pool("linear", tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="kind"):
        load_pool("cubic")  # type: ignore[arg-type]
