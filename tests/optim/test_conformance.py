"""Every training method of the catalog passes every check of the conformance suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.optim import conformance_interface, conformance_numerics
from tests.optim.conformance import CHECKS, Subject, compare_states, make_params, run, values

from optimand.core import catalog


def subjects() -> list[Subject]:
    """The methods that are optimizers of the library (with torch's own as controls).

    Those that treat a network's matrices in a way of their own need small ranks here: ``matrix_subjects.py`` and
    ``test_apollo_conformance.py`` have them.
    """
    return [Subject(m) for m in catalog.methods("training").values() if "routing" not in m.options]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("subject", subjects(), ids=lambda subject: subject.name)
def test_conforms(subject: Subject, check) -> None:
    check(subject)


def test_every_optimizer_of_the_library_is_judged() -> None:
    homes = {function.__module__ for function in CHECKS.values()}
    assert homes == {conformance_interface.__name__, conformance_numerics.__name__}
    names = {subject.name for subject in subjects()}
    assert {"adamw", "sgd", "lion", "exadam", "exadam-v1", "lion-k", "adamw-8bit", "lamb-8bit"} <= names
    routed = {m.options["routing"] for m in catalog.methods("training").values() if "routing" in m.options}
    assert routed == {"apollo", "apollo-mini", "frugal", "galore", "fira", "badam"}


RESUME = """
import sys, torch
from optimand.core import catalog
sys.path.insert(0, sys.argv[2])
from tests.optim.conformance import Subject, run, values
saved = torch.load(sys.argv[1], weights_only=True)
for name, entry in saved.items():
    params = [torch.nn.Parameter(p) for p in entry["params"]]
    optimizer = Subject(catalog.methods("training")[name])(params)
    optimizer.load_state_dict(entry["optimizer"])
    run(optimizer, params, 50, 100)
    saved[name] = {"params": values(params), "optimizer": optimizer.state_dict()}
torch.save(saved, sys.argv[1])
"""


def test_resuming_in_a_new_process_continues_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    saved, straight = {}, {}
    for subject in subjects():
        params = make_params()
        optimizer = subject(params, lr=subject.lrs[1])
        run(optimizer, params, 0, 50)
        saved[subject.name] = {
            "params": values(params),
            "optimizer": torch.load(_buffered(optimizer.state_dict()), weights_only=True),
        }
        run(optimizer, params, 50, 100)
        straight[subject.name] = {"params": values(params), "optimizer": optimizer.state_dict()}
    torch.save(saved, file)
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, "-c", RESUME, str(file), root], check=True, timeout=300)
    resumed = torch.load(file, weights_only=True)
    for name, entry in straight.items():
        for x, y in zip(resumed[name]["params"], entry["params"], strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=0)
        compare_states(resumed[name]["optimizer"], entry["optimizer"])


def _buffered(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer
