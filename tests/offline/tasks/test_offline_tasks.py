"""The tasks: closed forms, tables, folding, robots."""

import os

import numpy as np
import pytest

from optimand.core.validation import OptimandError, UnknownNameError
from optimand.offline import make, task_from_arrays
from optimand.offline.tasks.ehrlich import Ehrlich, draw_ehrlich
from optimand.offline.tasks.encoding import text_to_ints
from optimand.offline.tasks.stored import stored
from optimand.offline.tasks.synthetic import FUNCTIONS
from optimand.offline.tasks.tf_bind import FACTORS, read_table

has_data = pytest.mark.skipif(
    not os.environ.get("OPTIMAND_DATA"), reason="the tables of TF-Bind-8 are in $OPTIMAND_DATA/ignite-offline"
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIMAND_CACHE", str(tmp_path))
    return tmp_path


def test_closed_forms_have_their_known_optima():
    optima = {"styblinski-tang": (-2.903534, 39.16616570 * 3), "rastrigin": (0, 0), "rosenbrock": (1, 0)}
    for name, (where, value) in optima.items():
        assert FUNCTIONS[name][0](np.full((1, 3), float(where)))[0] == pytest.approx(value, abs=1e-6)


def test_the_better_half_of_the_points_is_hidden():
    task = make("synthetic:dim=3,rows=100")
    assert len(task.data) == 50
    assert task.y.max() < task.y_max
    np.testing.assert_array_equal(task.evaluate(task.x), task.y)


def test_an_ehrlich_function_by_hand():
    banned = np.zeros((3, 3), dtype=bool)
    banned[2, 0] = True
    f = Ehrlich(banned, np.array([[0, 1], [1, 2]]), np.array([[0, 2], [0, 1]]), levels=2, length=5)
    #                0 . 1 and 1 2 whole; half of the second; banned step 2 -> 0
    designs = np.array([[0, 0, 1, 2, 2], [0, 0, 1, 1, 1], [2, 0, 1, 1, 2]])
    assert f(designs).tolist() == [1.0, 0.5, 0.0]
    coarse = Ehrlich(banned, f.motifs, f.offsets, levels=1, length=5)
    assert coarse(designs).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(4, 16, 2, 4), (4, 32, 4, 4), (20, 15, 2, 4), (5, 12, 3, 4)])
def test_the_optimum_of_an_ehrlich_function_is_feasible_and_one(shape):
    for seed in range(5):
        f = draw_ehrlich(*shape, levels=shape[3], seed=seed)
        assert f(f.optimum()[None]).tolist() == [1.0]
        x = f.sample(200, np.random.default_rng(0))
        assert f.feasible(x).all()
        assert ((f(x) >= 0) & (f(x) <= 1)).all()
        assert not f.banned.diagonal().any()


def test_ehrlich_data_are_the_same_each_time_and_leave_the_optimum_out():
    a, b = make("ehrlich:rows=600"), make("ehrlich:rows=600")
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.y, b.y)
    assert a.y.max() < 1
    assert not np.array_equal(a.x, make("ehrlich:rows=600,seed=1").x)


@has_data
def test_facts_of_the_tables():
    best = {"SIX6": 0.43929617, "CRX": 0.4402, "PAX4": 0.4353, "GFI1": 0.4674, "KLF1": 0.4588, "VSX1": 0.4310}
    for factor in FACTORS:
        task = make(f"tfbind8:{factor}")
        assert len(task.data) == (32_898 if factor in ("SIX6", "KLF1") else 32_896)
        assert task.y.max() == pytest.approx(best[factor], abs=5e-5)
        assert (task.y_min, task.y_max) == (0.0, 1.0)
    six6 = make("tfbind8")
    assert six6.y.max() == pytest.approx(0.43929617, abs=5e-9)
    found = six6.evaluate(text_to_ints(["AGGTATCA", "TGATACCT", "AAAAAAAA"], "ACGT"))
    np.testing.assert_allclose(found, [1, 1, 0.524750], atol=5e-7)
    np.testing.assert_array_equal(six6.evaluate(six6.x), six6.y)


def test_a_missing_table_says_where_it_should_be(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA to the folder that holds ignite-offline/CRX_REF"):
        make("tfbind8:CRX")
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    with pytest.raises(OptimandError, match="is not there"):
        make("tfbind8")
    folder = tmp_path / "ignite-offline"
    folder.mkdir()
    (folder / "SIX6_REF_R1.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(OptimandError, match="is no table of"):
        make("tfbind8")


def test_a_whole_table_of_our_own_is_read_on_both_strands(tmp_path, monkeypatch):
    import gzip
    import itertools

    pair = dict(zip("ACGT", "TGCA", strict=True))
    lines = ["seq,revcomp,e_score"]
    for letters in itertools.product("ACGT", repeat=8):
        text = "".join(letters)
        back = "".join(pair[c] for c in reversed(text))
        if text <= back:
            lines.append(f"{text},{back},{text.count('A') + back.count('A')}")
    (tmp_path / "ignite-offline").mkdir()
    path = tmp_path / "ignite-offline" / "SIX6_REF_R1.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    x, y = read_table(path)
    assert len(x) == 65_792
    assert len(np.unique(x, axis=0)) == 65_536
    assert (y.min(), y.max()) == (0.0, 1.0)
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    task = make("tfbind8")
    assert task.evaluate(text_to_ints(["AAAAAAAA", "TTTTTTTT", "CCCCCCCC"], "ACGT")).tolist() == [1.0, 1.0, 0.0]


def test_folding_values_and_similarity(cache):
    pytest.importorskip("RNA")
    from optimand.offline.tasks.rna import Similarity, Stability, _vienna

    energy = Stability(_vienna())
    for text, value in (("GGGGAAAACCCC", 5.40), ("GCGCUUCGGCGC", 5.50), ("GGGAAACGCUUCGGCGAACCC", 6.10)):
        assert energy(text_to_ints([text], "ACGU"))[0] == pytest.approx(value, abs=1e-9)
    assert energy(text_to_ints(["AAAAAAAAAAAA"], "ACGU")).tolist() == [0.0]
    like = Similarity(_vienna(), "((((....))))")
    designs = text_to_ints(["GGGGAAAACCCC", "AAAAAAAAAAAA"], "ACGU")
    assert like(designs).tolist() == [1.0, pytest.approx(4 / 12)]


def test_rna_data_are_cached_and_informative(cache):
    pytest.importorskip("RNA")
    first = make("rna:L=14,rows=400")
    files = list((cache / "offline").glob("rna-*.npz"))
    assert len(files) == 1
    again = make("rna:L=14,rows=400")
    np.testing.assert_array_equal(first.y, again.y)
    assert (first.y > 0).mean() >= 0.1
    assert first.y.max() < first.y_max
    wanted = make("rna:(((....))),rows=400")
    assert wanted.data.length == 10
    assert (wanted.y_min, wanted.y_max) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rna:((..)", r"'\(' too many at position 0"),
        ("rna:(())),rows=9", r"'\)' too many at position 4"),
        ("rna:((xx))", "got 'x' at position 2"),
        ("rna:L=3", "L must be in"),
        ("rna:structure=((((....)))),L=14", "L must be the structure's length, 12, got 14"),
        ("ehrlich:levels=3", "levels must divide motif_length"),
        ("ehrlich:length=10", "length must be at least 16"),
        ("synthetic:nonsense", "function must be one of"),
        ("synthetic:size=3", "size"),
        ("tfbind8:SIX7", "did you mean 'SIX6'"),
    ],
)
def test_what_does_not_fit_a_task_is_named(text, message, cache):
    if text.startswith("rna"):
        pytest.importorskip("RNA")
    with pytest.raises(OptimandError, match=message):
        make(text)


def test_unknown_tasks_get_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'ehrlich'"):
        make("erlich")
    with pytest.raises(TypeError, match="text must name a task"):
        make(3)


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "RNA", None)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(OptimandError, match="python -m pip install ViennaRNA"):
        make("rna")
    with pytest.raises(OptimandError, match="python -m pip install mujoco"):
        make("ant-morphology")


def test_the_unchanged_ant_is_the_shipped_one_and_walks_straight(cache):
    mujoco = pytest.importorskip("mujoco")
    from optimand.offline.tasks.robots import LEG_UNCHANGED, AntWalk, ant_model, mirrored

    walk = AntWalk(steps=40)
    ours = mujoco.MjModel.from_xml_string(ant_model(walk.text, mirrored(np.tile(LEG_UNCHANGED, 2))))
    theirs = mujoco.MjModel.from_xml_string(walk.text)
    for field in ("body_mass", "body_pos", "geom_size", "geom_pos", "jnt_axis", "jnt_range"):
        np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), atol=1e-12, err_msg=field)
    designs = np.tile(LEG_UNCHANGED, (2, 2))
    designs[1, 2] = 1.5
    first, longer = walk(designs)
    assert first > 0
    assert longer != first
    assert walk(designs).tolist() == [first, longer]


def test_ant_data_are_made_once(cache):
    pytest.importorskip("mujoco")
    a = make("ant-morphology:rows=12,steps=10")
    assert len(list((cache / "offline").glob("ant-*.npz"))) == 1
    np.testing.assert_array_equal(a.evaluate(a.x), a.y)
    assert a.data.length == 10
    assert a.y.max() < a.y_max


def test_the_hopper_is_that_of_gymnasium(cache):
    pytest.importorskip("mujoco")
    pytest.importorskip("imageio")
    import gymnasium

    from optimand.offline.tasks.robots import HOPPER_WEIGHTS, HopperReturn

    env = gymnasium.make("Hopper-v5", reset_noise_scale=0.0)
    seen, _ = env.reset(seed=0)
    weights = np.random.default_rng(3).normal(0, 0.3, HOPPER_WEIGHTS)
    W1, b1 = weights[:88].reshape(8, 11), weights[88:96]
    W2, b2 = weights[96:120].reshape(3, 8), weights[120:]
    total = 0.0
    for _ in range(30):
        seen, reward, ended, _, _ = env.step(np.tanh(W2 @ np.tanh(W1 @ seen + b1) + b2))
        total += reward
        if ended:
            break
    env.close()
    assert HopperReturn(steps=30)(weights[None])[0] == pytest.approx(total, abs=1e-6)
    data = make("hopper-controller:rows=64,steps=20")
    assert data.data.length == HOPPER_WEIGHTS


def test_a_damaged_cache_is_computed_again_and_no_folder_is_no_fault(cache, monkeypatch):
    calls = []

    def compute():
        calls.append(1)
        return {"y": np.arange(3.0)}

    assert stored("kind", {"a": 1}, compute)["y"].tolist() == [0, 1, 2]
    assert stored("kind", {"a": 1}, compute)["y"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    next((cache / "offline").glob("*.npz")).write_bytes(b"damaged")
    stored("kind", {"a": 1}, compute)
    assert len(calls) == 2
    file = cache / "file"
    file.write_text("no folder")
    monkeypatch.setenv("OPTIMAND_CACHE", str(file))
    assert stored("kind", {"a": 1}, compute)["y"].tolist() == [0, 1, 2]


def test_an_unknown_parameter_of_a_task_is_answered_with_those_there_are():
    with pytest.raises(OptimandError, match=r"has no parameter 'lenth'; it has .*motifs.*; did you mean 'length'"):
        make("ehrlich:lenth=40")


def test_values_that_are_all_alike_are_named():
    with pytest.raises(ValueError, match=r"y_max must be larger than y_min.*all 3 values of y are alike"):
        task_from_arrays([[0.0], [1.0], [2.0]], [1.0, 1.0, 1.0])


def test_a_task_is_printed_with_its_data():
    task = task_from_arrays([[0.0], [1.0]], [0.0, 2.0])
    assert repr(task) == "Task(OfflineData('own', 2 designs, 1 reals), y_min=0, y_max=2)"
