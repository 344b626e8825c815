"""Runs in this process, and the executors that are not the local one."""

import sys
import types
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from optimand.core.validation import OptimandError
from optimand.lab import executors
from optimand.lab.runs import RunSpec, describe_error, execute, fingerprint, read_progress, slug
from optimand.lab.store import Store

TOY = str(Path(__file__).with_name("toy.py"))


def run_spec(method, budget=20, **changes):
    problem = f"{TOY}:problem:budget={budget}"
    text = f"{TOY}:{method}"
    marks = f"{fingerprint(problem)}/{fingerprint(text)}"
    return RunSpec(**{**vars(RunSpec(problem, text, marks, "final", -1, 0, 0, budget)), **changes})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path).create()
    made.write_info({"spec": {}, "problems": {}, "methods": {}})
    return made


def test_a_run_is_written_with_its_records(store):
    outcome = execute(run_spec("gd"), str(store.folder))
    stored, table = store.read_run(store.run_path(outcome.run))
    assert str(stored) == str(outcome)
    assert outcome.status == "ok"
    assert outcome.hyper == {"lr": 0.1}
    assert table.num_rows == 5
    assert not list(store.scratch.iterdir())


def test_diverged_and_failed_runs_are_outcomes(store):
    diverged = execute(run_spec("exploding"), str(store.folder))
    assert (diverged.status, diverged.diverged_at) == ("diverged", 9)
    assert "RuntimeWarning: overflow encountered" in diverged.notes["warnings"]
    failed = execute(run_spec("crashing"), str(store.folder))
    assert failed.status == "failed"
    assert failed.message.startswith("RuntimeError: this method is broken (toy.py line")


def test_a_run_goes_on_from_its_checkpoint(store):
    class Killed(BaseException):
        pass

    whole = execute(run_spec("gd"), str(store.folder), checkpoint_every=0)
    store.run_path(whole.run).unlink()
    files = [module for name, module in sys.modules.items() if name.startswith("_optimand_file_")]
    module = next(file for file in files if hasattr(file, "Quadratic"))
    sound = module.Quadratic.run

    def dies(self, method, hyper, *, seed, budget, recorder):
        count = 0

        def progress(at):
            nonlocal count
            count += 1
            if count == 13:
                raise Killed

        recorder.progress = progress
        sound(self, method, hyper, seed=seed, budget=budget, recorder=recorder)

    module.Quadratic.run = dies
    try:
        with pytest.raises(Killed):
            execute(run_spec("gd"), str(store.folder), checkpoint_every=0)
    finally:
        module.Quadratic.run = sound
    assert (store.scratch / f"{whole.run}.checkpoint").exists()
    again = execute(run_spec("gd"), str(store.folder), checkpoint_every=1000)
    assert (again.valid, again.test) == (whole.valid, whole.test)


def test_a_changed_file_is_not_run_under_its_old_name(store):
    with pytest.raises(OptimandError, match="was edited while it runs"):
        execute(run_spec("gd", fingerprint="other/other"), str(store.folder))


def test_ids_depend_on_everything_that_the_result_depends_on():
    base = run_spec("gd")
    changes = {
        "seed": 1,
        "root_seed": 1,
        "budget": 21,
        "hyper": {"lr": 1.0},
        "threads": 2,
        "fingerprint": "x",
        "trial": 3,
    }
    ids = {base.run, *(run_spec("gd", **{k: v}).run for k, v in changes.items()), run_spec("sign").run}
    assert len(ids) == len(changes) + 2


def test_names_are_fit_for_files():
    assert slug("a/b c:d=1,e") == "a-b-c-d=1-e"
    assert len(slug("x" * 100)) == 40


def test_errors_are_told_in_a_line():
    with pytest.raises(ValueError, match="two") as caught:
        raise ValueError("two\nlines")
    assert describe_error(caught.value).startswith("ValueError: two lines (test_runs.py line ")


def test_progress_of_a_run_that_told_nothing_is_zero(store):
    assert read_progress(store, "nothing") == 0.0
    (store.scratch / "half.progress").write_text("0.5")
    assert read_progress(store, "half") == 0.5


class FakeRay(types.SimpleNamespace):
    """The few calls of Ray that the executor makes, run one after the other in this process."""

    def __init__(self):
        super().__init__(started=0, most=0, open=set())

    def is_initialized(self):
        return False

    def init(self, **_):
        pass

    def remote(self, **options):
        assert options["num_cpus"] == 1

        def wrap(function):
            def submit(*arguments):
                ref = (function, arguments)
                ticket = types.SimpleNamespace(ref=ref)
                ticket_id = id(ticket)
                self.open.add(ticket_id)
                self.most = max(self.most, len(self.open))
                return _Ref(ticket, ticket_id)

            return types.SimpleNamespace(remote=submit)

        return wrap

    def wait(self, refs, num_returns, timeout):
        return refs[:1], refs[1:]

    def get(self, ref):
        self.open.discard(ref.ticket_id)
        function, arguments = ref.ticket.ref
        if arguments[0].method.endswith("dying"):
            raise RuntimeError("the worker died")
        return function(*arguments)

    def cancel(self, ref, force):
        self.open.discard(ref.ticket_id)

    def shutdown(self):
        pass


class _Ref:
    def __init__(self, ticket, ticket_id):
        self.ticket, self.ticket_id = ticket, ticket_id


def test_the_ray_executor_keeps_to_its_number_of_jobs(store, monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    executor = executors.EXECUTORS["ray"](str(store.folder), 2, 1, 30.0)
    specs = [run_spec("gd", seed=seed) for seed in range(4)] + [run_spec("dying")]
    for spec in specs:
        executor.submit(spec)
    ended = []
    while len(ended) < 5:
        ended += executor.finished(1.0)
    executor.close()
    assert fake.most == 2
    by_method = {spec.method.rsplit(":", 1)[1]: result for spec, result in ended}
    assert by_method["gd"].status == "ok"
    assert isinstance(by_method["dying"], BrokenProcessPool)


def test_without_ray_the_executor_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptimandError, match=r"pip install 'optimand\[ray\]'"):
        executors.EXECUTORS["ray"]("folder", 1, 1, 30.0)


def test_the_fingerprint_follows_the_content_of_files_among_the_parameters(tmp_path):
    file = tmp_path / "program.csv"
    file.write_text("one")
    text = f"memory-program:path={file}"
    first = fingerprint(text)
    file.write_text("two")
    assert fingerprint(text) != first
    file.write_text("one")
    assert fingerprint(text) == first
    assert fingerprint("memory-program:path=nowhere.csv") == fingerprint("memory-program")
