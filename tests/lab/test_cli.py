import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optimand.lab import cli

TOY = str(Path(__file__).with_name("toy.py"))


def run(*arguments):
    """Run the command in this process; returns its exit code."""
    import unittest.mock

    with unittest.mock.patch.object(sys, "argv", ["optimand", *map(str, arguments)]):
        try:
            cli.main()
        except SystemExit as exit_:
            return exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    return 0


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "study"
    code = run(
        "compare", f"{TOY}:problem:budget=10", "-m", f"{TOY}:gd,{TOY}:sign:lr=0.1", "-s", 2, "--store", folder, "-q"
    )
    assert code == 0
    return folder


def test_compare_prints_the_table_and_the_page(study, capsys):
    assert (
        run("compare", f"{TOY}:problem:budget=10", "-m", f"{TOY}:gd,{TOY}:sign:lr=0.1", "-s", 2, "--store", study) == 0
    )
    shown = capsys.readouterr()
    assert "test loss after 10 steps (lower is better)" in shown.out
    assert "gd" in shown.out
    assert str(study / "report.html") in shown.out.replace("\n", "")
    assert "2 methods x 1 problems" in shown.err
    assert (study / "report.html").read_text().startswith("<!doctype html>")


def test_report_builds_the_page_from_the_store_alone(study, capsys, tmp_path):
    assert run("report", study, "--to", tmp_path / "page.html", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["page"] == str(tmp_path / "page.html")
    assert content["problems"][0]["rows"][0]["label"] in ("gd", "sign (lr=0.1)")
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_what_users_code_prints_does_not_get_into_the_json(tmp_path):
    file = tmp_path / "noisy.py"
    shout = "print('LOUD')\n"
    text = (
        Path(TOY)
        .read_text()
        .replace("    return lambda x, g, t: x - lr * g", f"    {shout}    return lambda x, g, t: x")
    )
    file.write_text(text + "\n" + shout)
    command = [Path(sys.executable).with_name("optimand"), "compare", f"{file}:problem:budget=5", "-m", f"{file}:gd"]
    options = ["--json", "--store", tmp_path / "s", "-s", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert "LOUD" in done.stderr
    assert json.loads(done.stdout)["problems"]


def test_a_term_signal_ends_like_an_interrupt(tmp_path):
    assert _interrupted(tmp_path, signal.SIGTERM) == cli.INTERRUPTED


def test_json_goes_to_standard_output_alone(study, capsys):
    code = run(
        "compare", f"{TOY}:problem:budget=10", "-m", f"{TOY}:gd,{TOY}:sign:lr=0.1", "-s", 2, "--store", study, "--json"
    )
    assert code == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(study)


def test_diverged_and_failed_runs_end_with_code_3(tmp_path, capsys):
    code = run(
        "compare",
        f"{TOY}:problem:budget=15",
        "-m",
        f"{TOY}:exploding,{TOY}:crashing",
        "--store",
        tmp_path / "s",
        "-j",
        1,
    )
    assert code == cli.ENDED_BADLY
    shown = capsys.readouterr().out
    assert "3/3 diverged" in shown
    assert "3/3 failed" in shown
    assert "crashing: RuntimeError: this method is broken (toy.py line" in shown.replace("\n", " ")
    assert "exploding: loss is" in shown
    assert "Defaults only" in shown
    assert "Traceback" not in shown


def test_a_damaged_file_is_named_with_code_3(study, capsys):
    victim = next((study / "runs").glob("*.parquet"))
    content = victim.read_bytes()
    victim.write_bytes(b"damaged")
    try:
        assert run("report", study) == cli.ENDED_BADLY
        shown = capsys.readouterr().out.replace("\n", "")
        assert f"left out: {victim.name}" in shown
        assert "1 planned runs are missing" in shown
    finally:
        victim.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "digit-mlp"), "unknown problem 'digit-mlp'; did you mean 'digits-mlp'"),
        (("compare", "digits-mlp", "-m", "lyon"), "unknown method 'lyon'; did you mean 'lion'"),
        (("compare", "digits-mlp", "-m", "nowhere.py:X"), "file 'nowhere.py' does not exist"),
        (("compare", "digits-mlp", "-m", "lion", "-s", "0"), "seeds must be at least 1, got 0"),
        (("compare", "digits-mlp", "-m", "lion:lr"), "is not of the form key=value"),
        (("compare", "digits-mlp", "-m", "lion", "--executor", "slurm"), "executor must be one of 'local', 'ray', got"),
        (("compare", f"{TOY}:problem"), "methods must be named with --methods"),
        (("show", "lyon"), "unknown method 'lyon'; did you mean 'lion'"),
        (("reproduce", "lyon"), "lion"),
        (("reproduce", "feynman-kac-correctors"), "is not implemented yet (planned)"),
        (("report", "nowhere"), "'nowhere' holds no study"),
        (("compare", "digits-mlp", "-m", "adamw:lr=abc"), "method 'adamw': lr must be a number, got 'abc'"),
        (("compare", "digits-mlp", "lion"), "'lion' is a method: separate methods by commas"),
        (("compare", "digits-mlp", "-m", "lion:betas=0.9,0.99"), "in brackets: betas=(0.9,0.99)"),
        (("show", "lion", "--family", "trainin"), "unknown family 'trainin'; did you mean 'training'"),
        (("compare", f"{TOY}:problem:budgt=3", "-m", f"{TOY}:gd"), "unexpected keyword argument 'budgt'"),
        (("compare", f"{TOY}:quadratic:budget=3", "-m", f"{TOY}:gd"), "is an object, not a function"),
        (("compare", f"{TOY}:backwards", "-m", f"{TOY}:gd"), "direction must be one of 'min', 'max', got 'down'"),
        (("compare", f"{TOY}:unreadable", "-m", f"{TOY}:gd"), "cannot be used: RuntimeError: the data is gone"),
        (("show", "lion:lr=-1"), "method 'lion:lr=-1': lr must be in"),
        (("list", "methods", "--family", "trainig"), "unknown family 'trainig'; did you mean 'training'"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_one_line_and_code_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == cli.USER_ERROR
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "error: " in shown.err
    assert "Traceback" not in shown.err


def test_an_unwritable_store_ends_with_code_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code = run("compare", f"{TOY}:problem", "-m", f"{TOY}:gd", "--store", tmp_path / "file" / "s")
    assert code == cli.USER_ERROR
    assert "cannot be written" in capsys.readouterr().err


def test_wrong_usage_ends_with_code_2(capsys):
    assert run("compare") == 2
    assert run("list", "nonsense") == 2
    capsys.readouterr()


def test_list(capsys):
    for kind, name in [("problems", "digits-mlp"), ("methods", "lion"), ("families", "training"), ("claims", "exadam")]:
        assert run("list", kind) == 0
        assert name in capsys.readouterr().out
        assert run("list", kind, "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert any(name in row.values() for row in rows)
    assert run("list", "problems") == 0
    assert "torchvision" in capsys.readouterr().out


def test_show_tells_hyperparameters_paper_and_cost(capsys):
    assert run("show", "lion:lr=0.001") == 0
    shown = capsys.readouterr().out
    assert "Symbolic Discovery of Optimization Algorithms" in shown
    assert "weight_decay" in shown
    assert "per parameter" in shown
    assert run("show", "lion", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["hyperparameters"]["lr"]["default"] == 1e-4
    assert content["paper"]["arxiv"] == "2302.06675"


def test_papers(capsys):
    assert run("papers", "low memory optimizer state", "--json", "-n", 3) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 3
    assert {"blockwise-8bit", "frugal", "apollo"} & {p["slug"] for p in found}
    assert run("papers") == 0
    assert capsys.readouterr().out.count("arXiv") == 29
    assert run("papers", "latent Markov decision processes") == 0
    assert "not implemented yet" in capsys.readouterr().out
    assert run("papers", "croissant recipe butter") == cli.USER_ERROR


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert "optimand 0." in capsys.readouterr().out
    assert run("compare", "--help") == 0
    assert "--tune" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (["lion,adamw"], ("lion", "adamw")),
        (["lion:lr=1e-4,weight_decay=0.1,adamw"], ("lion:lr=1e-4,weight_decay=0.1", "adamw")),
        (["lion:betas=(0.9,0.99),sgd", "exadam"], ("lion:betas=(0.9,0.99)", "sgd", "exadam")),
        (["a.py:X:lr=1,b.py:Y:lr=2"], ("a.py:X:lr=1", "b.py:Y:lr=2")),
        (["", "lion, "], ("lion",)),
    ],
)
def test_methods_are_split_at_the_right_commas(texts, parts):
    assert cli.split_commas(texts) == parts


def test_interrupting_says_how_to_go_on(tmp_path):
    assert _interrupted(tmp_path, signal.SIGINT) == cli.INTERRUPTED


def _interrupted(tmp_path, number):
    command = [
        Path(sys.executable).with_name("optimand"), "compare", f"{TOY}:problem:pause=0.5", "-m", f"{TOY}:gd",
        "--store", tmp_path / "s",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "s" / "scratch").glob("*.progress")):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, shown = process.communicate(timeout=30)
    assert "interrupted; the same command goes on from here" in shown
    assert "Traceback" not in shown
    return process.returncode


def test_the_command_is_installed():
    shown = subprocess.run(
        [Path(sys.executable).with_name("optimand"), "list", "families", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "training" in [row["name"] for row in json.loads(shown.stdout)]


def test_show_tells_a_problems_parameters_budget_and_target(capsys):
    assert run("show", "matrix-game:size=50", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["family"] == "monotone"
    assert content["target"] == "residual 0.01"
    assert content["parameters"]["size"] | {"what": ""} == {"default": 300, "given": 50, "what": ""}
    assert "strategies" in content["parameters"]["size"]["what"]
    assert run("show", "matrix-game:size=50") == 0
    assert "budget: 1000 passes" in capsys.readouterr().out


def test_problems_of_several_families_are_refused_before_their_methods_are_asked_for(capsys):
    assert run("compare", "bernoulli-bandit", "sea-segments") == 1
    assert "different families (bandits, online-convex)" in capsys.readouterr().err
