import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from optimand.core.claims import StudySpec
from optimand.core.validation import OptimandError
from optimand.lab.report import write_page
from optimand.lab.study import Study, compare

TOY = str(Path(__file__).with_name("toy.py"))


def toy_spec(*methods, steps=20, **changes):
    base = {"problems": (f"{TOY}:problem:budget={steps}",), "methods": tuple(f"{TOY}:{m}" for m in methods), "seeds": 2}
    return StudySpec(**{**base, **changes})


def numbers(study):
    """Everything of a study's outcomes that must not depend on how it was run."""
    return sorted(
        (
            o.run,
            o.status,
            o.message,
            o.diverged_at,
            repr(o.valid),
            repr(o.test),
            json.dumps(dict(o.hyper), sort_keys=True),
        )
        for o in study.results().outcomes
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    study = Study(toy_spec("gd", "sign", "exploding", tune=3), folder=tmp_path_factory.mktemp("study") / "s", jobs=2)
    study.run()
    return study


def test_every_planned_run_is_made(finished):
    outcomes = finished.results().outcomes
    assert len(outcomes) == finished.planned_runs() == 3 * (3 + 2)
    assert {(o.phase, o.trial) for o in outcomes} == {("tune", 0), ("tune", 1), ("tune", 2), ("final", -1)}


def test_a_diverged_run_is_recorded_with_its_step_and_the_study_goes_on(finished):
    rows = {r.label: r for r in finished.summary().problems[0].rows}
    assert rows["exploding"].diverged == 2
    assert rows["gd"].diverged == 0
    exploded = finished.results().select(finished.spec.problems[0], finished.spec.methods[2])
    assert all(o.status == "diverged" and 8 < o.diverged_at <= 20 for o in exploded)
    assert "loss is" in exploded[0].message


def test_final_runs_use_the_trial_that_was_best_on_validation(finished):
    problem, method = finished.spec.problems[0], finished.spec.methods[0]
    trials = finished.results().select(problem, method, "tune")
    best = min(trials, key=lambda o: o.valid)
    assert all(o.hyper == best.hyper for o in finished.results().select(problem, method))


def test_nothing_is_left_in_scratch(finished):
    assert [p.name for p in finished.store.scratch.iterdir() if p.name != "lock"] == []


def test_the_same_study_asked_for_again_makes_no_run_twice(finished):
    before = {p.name: p.stat().st_mtime_ns for p in finished.store.runs.iterdir()}
    again = Study(finished.spec, folder=finished.store.folder, jobs=1)
    again.run()
    assert {p.name: p.stat().st_mtime_ns for p in finished.store.runs.iterdir()} == before


def test_results_do_not_depend_on_the_number_of_workers(finished, tmp_path):
    alone = Study(finished.spec, folder=tmp_path / "s", jobs=1)
    alone.run()
    assert numbers(alone) == numbers(finished)


def test_methods_meet_the_same_randomness_at_the_same_seed(tmp_path):
    study = compare(f"{TOY}:problem", [f"{TOY}:gd", f"{TOY}:gd:lr=0.1"], seeds=2, folder=tmp_path / "s", jobs=1)
    tests = [[o.test for o in study.results().select(study.spec.problems[0], m)] for m in study.spec.methods]
    assert tests[0] == tests[1]  # the same method under two names
    assert tests[0][0] != tests[0][1]  # and the seeds do differ


def test_given_hyperparameters_are_not_tuned(tmp_path):
    study = Study(toy_spec("gd:lr=0.2", "sign", seeds=1, tune=2), folder=tmp_path / "s", jobs=2)
    study.run()
    problem, given = study.spec.problems[0], study.spec.methods[0]
    assert len(study.results().select(problem, given, "tune")) == 1  # nothing is left to search
    assert all(o.hyper["lr"] == 0.2 for o in study.results().outcomes if o.method == given)
    assert len(study.results().outcomes) == study.planned_runs() == 1 + 2 + 2


def test_an_adaptive_search_runs_to_its_end(tmp_path):
    study = Study(toy_spec("gd", seeds=1, tune=4, tuner="tpe"), folder=tmp_path / "s", jobs=2)
    study.run()
    assert len(study.results().outcomes) == 5


def test_a_method_that_raises_is_recorded_and_can_be_tried_again(tmp_path):
    spec = toy_spec("gd", "crashing", seeds=1)
    study = Study(spec, folder=tmp_path / "s", jobs=1)
    study.run()
    failed = study.results().select(spec.problems[0], spec.methods[1])[0]
    assert failed.status == "failed"
    assert failed.message.startswith("RuntimeError: this method is broken (toy.py line")
    stamp = study.store.run_path(failed.run).stat().st_mtime_ns
    Study(spec, folder=tmp_path / "s", jobs=1).run()
    assert study.store.run_path(failed.run).stat().st_mtime_ns == stamp
    Study(spec, folder=tmp_path / "s", jobs=1, retry_failed=True).run()
    assert study.store.run_path(failed.run).stat().st_mtime_ns > stamp


def test_a_worker_that_dies_costs_only_its_own_run(tmp_path):
    study = Study(toy_spec("gd", "dying", seeds=2, tune=2), folder=tmp_path / "s", jobs=2)
    study.run()
    status = {o.method.rsplit(":", 1)[1]: o.status for o in study.results().outcomes}
    assert status == {"gd": "ok", "dying": "failed"}
    failed = [o for o in study.results().outcomes if o.status == "failed"]
    assert all("worker process died" in o.message and "lr" in o.hyper for o in failed)
    assert write_page(study.results(), tmp_path / "page.html").exists()


def test_a_damaged_run_file_is_set_aside_and_its_run_made_again(tmp_path):
    spec = toy_spec("gd", seeds=2)
    study = Study(spec, folder=tmp_path / "s", jobs=1)
    study.run()
    before = numbers(study)
    victim = next(study.store.runs.glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    assert study.summary().damaged == [victim.name]
    again = Study(spec, folder=tmp_path / "s", jobs=1)
    again.run()
    assert numbers(again) == before
    assert again.damaged == [victim.name]


def test_a_study_can_grow_in_its_folder(tmp_path):
    few = Study(toy_spec("gd", seeds=1), folder=tmp_path / "s", jobs=1)
    few.run()
    stamp = {p.name: p.stat().st_mtime_ns for p in few.store.runs.iterdir()}
    more = Study(toy_spec("gd", "sign", seeds=2), folder=tmp_path / "s", jobs=1)
    more.run()
    assert len(more.results().outcomes) == more.planned_runs() == 4
    assert {p.name: p.stat().st_mtime_ns for p in few.store.runs.iterdir() if p.name in stamp} == stamp
    few.run()
    assert len(few.results().outcomes) == 1


def test_a_study_under_way_shows_only_its_own_runs(tmp_path):
    Study(toy_spec("gd", seeds=3), folder=tmp_path / "s", jobs=1).run()
    seen = []
    study = Study(toy_spec("gd", seeds=1, steps=30), folder=tmp_path / "s", jobs=1)
    study.run(lambda _: seen.append({o.budget for o in study.results().outcomes}))
    assert all(budgets <= {30} for budgets in seen)
    assert seen[-1] == {30}


def test_methods_take_turns_so_that_a_busy_spell_hits_all_alike(tmp_path):
    study = Study(toy_spec("gd", "sign", seeds=3), folder=tmp_path / "s", jobs=1)
    study.run()
    ended = sorted(study.store.runs.iterdir(), key=lambda p: p.stat().st_mtime_ns)
    methods = [study.store.read_run(p)[0].method.rsplit(":", 1)[1] for p in ended]
    # the first run starts at once, before the others are known
    assert methods == ["gd", "sign", "gd", "sign", "gd", "sign"]


def test_an_edited_file_makes_another_study(tmp_path):
    file = tmp_path / "toy.py"
    file.write_text(Path(TOY).read_text())
    spec = StudySpec((f"{file}:problem:budget=5",), (f"{file}:gd",), seeds=1)
    first = Study(spec)
    file.write_text(file.read_text() + "\n# edited\n")
    assert Study(spec).name != first.name


def test_progress_tells_runs_share_and_time_left(tmp_path):
    seen = []
    Study(toy_spec("gd", "sign", steps=40), folder=tmp_path / "s", jobs=2).run(seen.append)
    assert seen[-1].done == seen[-1].total == 4
    assert seen[-1].share == 1.0
    assert seen[-1].seconds_left == 0.0
    assert all(a.share <= b.share + 0.26 for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ()}, "methods must name at least one"),
        ({"problems": ()}, "problems must name at least one"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": "three"}, "seeds must be an integer"),
        ({"tune": -1}, "tune must be at least 0"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"tuner": "grid"}, "tuner must be one of"),
        ({"methods": (f"{TOY}:gd", f"{TOY}:gd")}, "more than once"),
        ({"methods": (f"{TOY}:gd:lrr=1",)}, "has no hyperparameter 'lrr'"),
        ({"problems": (f"{TOY}:problem", "digits-mlp")}, "different families"),
    ],
)
def test_bad_studies_are_refused_before_anything_runs(changes, message):
    with pytest.raises(OptimandError, match=message):
        Study(toy_spec("gd", **changes))


def test_wrong_types_of_hyperparameters_are_refused_before_anything_runs(tmp_path):
    spec = StudySpec(("digits-mlp:hidden=4",), ("lion:lr=fast",), seeds=1, budget=1)
    with pytest.raises(OptimandError, match="method 'lion': lr must be a number, got 'fast'"):
        Study(spec, folder=tmp_path / "s").run()
    with pytest.raises(OptimandError, match=r"lr must be in .*got -1"):
        Study(StudySpec(("digits-mlp",), ("lion:lr=-1",)), folder=tmp_path / "t").run()


def test_kill_at_random_moments_loses_nothing(tmp_path):
    """``kill -9`` at ten random moments of a study under way; a last resume ends with the table of an unbroken one."""
    arguments = [
        sys.executable, "-m", "optimand.lab.cli", "compare", f"{TOY}:problem:budget=60,pause=0.02",
        "--methods", f"{TOY}:gd,{TOY}:sign", "--seeds", "5", "--tune", "4", "--tuner", "tpe", "--quiet",
        "--checkpoint-every", "0.05", "--jobs", "2",
    ]  # fmt: skip
    rng = random.Random(0)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    store = tmp_path / "broken"
    finished, resumed = [], 0
    for _ in range(10):
        before = _state_of(store)
        process = subprocess.Popen(
            [*arguments, "--store", str(store)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while _state_of(store) == before and process.poll() is None:
            time.sleep(0.01)  # until this attempt has done something: a checkpoint or a finished run
        time.sleep(rng.uniform(0, 0.8))
        assert process.poll() is None, "the study ended before it could be killed ten times"
        process.kill()
        process.wait()
        finished.append(len(list((store / "runs").glob("*.parquet"))))
        resumed += bool(list((store / "scratch").glob("*.checkpoint")))
    assert len(set(finished)) >= 3  # the kills struck at different places
    assert resumed >= 3  # and in the middle of runs
    subprocess.run([*arguments, "--store", str(store)], env=environment, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*arguments, "--store", str(tmp_path / "unbroken")], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    spec = StudySpec(
        (f"{TOY}:problem:budget=60,pause=0.02",), (f"{TOY}:gd", f"{TOY}:sign"), seeds=5, tune=4, tuner="tpe"
    )
    _assert_equal(Study(spec, folder=store), Study(spec, folder=tmp_path / "unbroken"))


def _state_of(store):
    """Changes with each finished run and each checkpoint."""
    files = [*(store / "runs").glob("*.parquet"), *(store / "scratch").glob("*.checkpoint")]
    state = set()
    for file in files:
        try:
            state.add((file.name, file.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return state


def _assert_equal(one, other):
    assert len(one.results().outcomes) == one.planned_runs()
    assert numbers(one) == numbers(other)
    curves = [s.results().curves.drop("seconds").sort("run", "split", "metric", "spent") for s in (one, other)]
    assert curves[0].equals(curves[1])
    rows = [
        [(r.label, r.rank, r.tied, r.test, r.expected_best) for p in s.summary().problems for r in p.rows]
        for s in (one, other)
    ]
    assert rows[0] == rows[1]


def test_retried_trials_replace_the_final_runs_that_rested_on_them(tmp_path):
    file = tmp_path / "flaky.py"
    marker = tmp_path / "mended"
    file.write_text(
        Path(TOY).read_text()
        + "\nfrom pathlib import Path\n"
        + "def flaky(lr):\n"
        + f"    if lr != 0.1 and not Path({str(marker)!r}).exists():\n"
        + "        raise RuntimeError('not now')\n"
        # The default does not move at all, so whatever the other trials sample (which depends on this path) is better.
        + "    return gradient_descent(0.0 if lr == 0.1 else lr)\n"
        + "flaky_gd = _method('flaky', flaky)\n"
    )
    spec = StudySpec((f"{file}:problem:budget=10",), (f"{file}:flaky_gd",), seeds=2, tune=4)
    Study(spec, folder=tmp_path / "s", jobs=1).run()
    marker.write_text("")
    again = Study(spec, folder=tmp_path / "s", jobs=1, retry_failed=True)
    again.run()
    row = again.summary().problems[0].rows[0]
    assert row.n == 2
    assert row.hyper["lr"] != 0.1
    assert len(again.results().outcomes) == again.planned_runs()


def test_a_damaged_description_does_not_let_another_study_mix_in(tmp_path):
    Study(toy_spec("gd", steps=10), folder=tmp_path / "s", jobs=1).run()
    (tmp_path / "s" / "study.json").write_text("{")
    other = Study(toy_spec("gd", "sign", steps=15), folder=tmp_path / "s", jobs=1)
    other.run()
    assert [r.n for r in other.summary().problems[0].rows] == [2, 2]
    assert {o.problem for o in other.results().outcomes} == set(other.spec.problems)


def test_a_file_edited_while_the_study_runs_stops_it(tmp_path):
    file = tmp_path / "toy.py"
    file.write_text(Path(TOY).read_text())
    study = Study(StudySpec((f"{file}:problem:budget=5",), (f"{file}:gd",), seeds=1), folder=tmp_path / "s", jobs=1)
    file.write_text(file.read_text() + "\n# edited\n")
    with pytest.raises(OptimandError, match=r"was edited while it runs"):
        study.run()
    assert study.results().outcomes == []


def test_a_store_that_vanishes_stops_the_study_with_a_word(tmp_path):
    study = Study(toy_spec("gd", "sign", seeds=3), folder=tmp_path / "s", jobs=1)

    def vanish(progress):
        if study.store.runs.exists():
            shutil.rmtree(study.store.runs)

    with pytest.raises(OptimandError, match=r"could not be stored|cannot be written"):
        study.run(vanish)


def test_a_metric_that_is_never_recorded_is_a_failure_not_a_divergence(tmp_path):
    file = tmp_path / "toy.py"
    file.write_text(Path(TOY).read_text().replace('metric = "loss"', 'metric = "lss"'))
    study = Study(StudySpec((f"{file}:problem:budget=5",), (f"{file}:gd",), seeds=1), folder=tmp_path / "s", jobs=1)
    study.run()
    assert study.results().outcomes[0].status == "failed"
    assert "recorded no 'lss' on valid; it recorded loss" in study.results().outcomes[0].message


def test_an_idle_workers_death_is_survived(tmp_path):
    spec = toy_spec("gd", seeds=3)
    study = Study(spec, folder=tmp_path / "s", jobs=1)
    study.store.create()
    executor = study.new_executor()
    runs = [study.run_spec(spec.problems[0], study.entries[0], "final", -1, seed, {}) for seed in range(2)]
    try:
        for run in runs:
            executor.submit(run)
            ended = []
            while not ended:
                ended = executor.finished(1.0)
            assert ended[0][1].status == "ok"
            for worker in psutil.Process().children():
                if "loky" in " ".join(worker.cmdline()) and "resource_tracker" not in " ".join(worker.cmdline()):
                    worker.kill()
            time.sleep(0.5)
    finally:
        executor.close()


def test_the_first_date_of_a_study_is_kept_and_a_change_of_environment_shown(tmp_path):
    spec = toy_spec("gd", seeds=1, steps=5)
    study = Study(spec, folder=tmp_path / "s", jobs=1)
    study.run()
    info = study.store.read_info()
    study.store.write_info({**info, "created": "yesterday", "environment": {**info["environment"], "numpy": "0.1"}})
    Study(spec, folder=tmp_path / "s", jobs=1).run()
    again = study.store.read_info()
    assert again["created"] == "yesterday"
    assert again["environment"]["numpy"] == f"0.1, then {info['environment']['numpy']}"
    Study(spec, folder=tmp_path / "s", jobs=1).run()
    assert study.store.read_info()["environment"] == again["environment"]


def test_two_files_of_one_name_keep_their_labels_apart(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "toy.py").write_text(Path(TOY).read_text())
    methods = tuple(f"{tmp_path}/{folder}/toy.py:gd" for folder in "ab")
    labels = [e.label for e in Study(StudySpec((f"{TOY}:problem",), methods)).entries]
    assert labels == list(methods)
