"""The command ``optimand memory``: tables that fit 80 columns, JSON, and mistakes that are named."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from tests.lab.test_cli import run

from optimand.core import catalog
from optimand.lab import cli


def test_several_methods_are_compared_in_one_table(capsys):
    assert run("memory", "--model", "llama-60m", "--method", "adamw,lion") == 0
    shown = capsys.readouterr().out
    assert "llama-60m: 58,073,600 parameters, fp32" in shown
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()[:1] in (["adamw"], ["lion"])}
    assert rows["adamw"][1:] == ["222M", "222M", "443M", "886M", "8.000", "B"]
    assert rows["lion"][3] == "222M"
    assert "Activations come on top" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_one_method_is_shown_part_by_part(capsys):
    assert run("memory", "--model", "llama-7b", "-m", "adamw", "--dtype", "bf16", "--layerwise", "--int8-weights") == 0
    shown = capsys.readouterr().out
    assert "6,738,415,616 parameters, bf16, 8-bit weights in its linear layers" in shown
    for part in ("matrices", "embeddings", "head", "norms", "all", "together"):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_json_holds_bytes(capsys):
    assert run("memory", "--model", "llama-lm", "-m", "adamw", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"]["parameters"] == 469_632
    assert found["plans"][0]["weights"] == 4 * 469_632


def test_measured_methods_are_pointed_out_and_prints_stay_out_of_json(capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import torch\nprint('LOUD')\nclass Mine(torch.optim.RMSprop):\n    pass\n")
    assert run("memory", "--model", "llama-lm", "-m", f"adamw,{file}:Mine") == 0
    assert "Measured in a trial step on tensors of these shapes: mine.py:Mine." in capsys.readouterr().out
    assert run("memory", "--model", "llama-lm", "-m", f"{file}:Mine", "--json") == 0
    assert json.loads(capsys.readouterr().out)["plans"][0]["rule"] == "trial step"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "lama-7b"), "unknown model 'lama-7b'; did you mean 'llama-7b'"),
        (("--model", "llama-7b", "-m", "adamm"), "unknown method 'adamm'"),
        (("--model", "llama-7b", "-m", "adamw", "--rank", "4"), "none of the methods has a rank"),
        (("--model", "llama-7b", "--family", "trining"), "unknown family 'trining'; did you mean 'training'"),
    ],
)
def test_mistakes_are_named(arguments, message, capsys):
    assert run("memory", *arguments) == cli.USER_ERROR
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_family_without_plans_says_so(capsys, monkeypatch):
    family = catalog.get_family("training")
    monkeypatch.setitem(catalog._families, "training", replace(family, memory=None))
    assert run("memory", "--model", "llama-7b") == cli.USER_ERROR
    assert "family 'training' has no models whose memory could be planned" in capsys.readouterr().err


def test_a_module_in_the_working_folder_can_be_named(capsys, tmp_path, monkeypatch):
    source = "from torch import nn\n\ndef net():\n    return nn.ModuleDict({'mlp': nn.Linear(8, 8)})\n"
    (tmp_path / "model_beside_the_user.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert run("memory", "--model", "model_beside_the_user:net", "--method", "adamw", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"]["parameters"] == 72
