import json
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint

import pytest

import optimand
from optimand import papers
from optimand.core import catalog, index
from optimand.core.claims import Claim, Finding, StudySpec
from optimand.core.space import Float
from optimand.core.userfiles import load_file, short_spec, split_spec
from optimand.core.validation import OptimandError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lion", ("lion", None, {})),
        ("lion:lr=1e-4,weight_decay=0", ("lion", None, {"lr": 1e-4, "weight_decay": 0})),
        ("lion:betas=(0.9, 0.99),kappa=l1", ("lion", None, {"betas": (0.9, 0.99), "kappa": "l1"})),
        ("a/b.py:MyOpt", ("a/b.py", "MyOpt", {})),
        ("a/b.py:MyOpt:lr=1,foreach=None", ("a/b.py", "MyOpt", {"lr": 1, "foreach": None})),
    ],
)
def test_split_spec(text, parts):
    assert split_spec(text) == parts


def test_split_spec_refuses_what_it_cannot_read():
    with pytest.raises(OptimandError, match="'lr' is not of the form key=value"):
        split_spec("lion:lr")
    with pytest.raises(OptimandError, match="say which object"):
        split_spec("my_opt.py")


def test_short_spec_hides_folders():
    assert short_spec("/a/b/my.py:Opt:lr=1") == "my.py:Opt:lr=1"
    assert short_spec("lion:lr=1") == "lion:lr=1"


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown method 'lyon'; did you mean 'lion'"):
        catalog.get_method("lyon", family="training")
    with pytest.raises(UnknownNameError, match="unknown problem 'digit-mlp'; did you mean 'digits-mlp'"):
        catalog.get_problem("digit-mlp")
    with pytest.raises(UnknownNameError, match=r"has no hyperparameter 'lrr'.*did you mean 'lr'"):
        catalog.get_method("lion:lrr=1", family="training")
    with pytest.raises(UnknownNameError, match="has no parameter 'hiden'"):
        catalog.get_problem("digits-mlp:hiden=3")


def test_a_method_of_another_family_is_refused():
    with pytest.raises(OptimandError, match="is of family 'training' and cannot run on problems of family 'toy'"):
        catalog.get_method("lion", family="toy")


def test_user_files(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "_methods", dict(catalog._methods))
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from optimand.core.catalog import method\n"
        "class Plain(torch.optim.SGD):\n"
        "    'Plain optimizer.'\n"
        "    def __init__(self, params, lr=0.1): super().__init__(params, lr=lr)\n"
        "@method('registered-here', family='training')\n"
        "class Registered(Plain): pass\n"
        "not_a_method = 3\n"
    )
    plain, given = catalog.get_method(f"{file}:Plain:lr=0.5", family="training")
    assert (plain.name, plain.family, given) == ("Plain", "training", {"lr": 0.5})
    assert plain.origin == "mine.py:Plain"
    registered, _ = catalog.get_method(f"{file}:Registered", family="training")
    assert registered.name == "registered-here"
    file.write_text(file.read_text() + "# edited\n")
    assert catalog.get_method(f"{file}:Registered", family="training")[0].name == "registered-here"
    with pytest.raises(OptimandError, match="has no 'Plian'; did you mean 'Plain'"):
        catalog.get_method(f"{file}:Plian", family="training")
    with pytest.raises(OptimandError, match="not_a_method"):
        catalog.get_method(f"{file}:not_a_method", family="training")
    with pytest.raises(OptimandError, match="must be registered with @method"):
        catalog.get_method(f"{file}:Plain", family="nobody-knows")


def test_a_built_in_optimizer_named_in_a_file_is_adopted_as_it_is(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torch.optim import AdamW")
    found, _ = catalog.get_method(f"{file}:AdamW", family="training")
    assert found.defaults["fused"] is None  # not the catalog's own entry, which switches it on


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_this", r"could not be loaded: ModuleNotFoundError.*\(line 1\)"),
        ("x = 1\ndef f(:\n", r"could not be loaded: SyntaxError.*line 2\)"),
        ("raise SystemExit(0)", r"could not be loaded: SystemExit: 0 \(line 1\)"),
        ("x = 1\n\n1 / 0\n", r"could not be loaded: ZeroDivisionError.*\(line 3\)"),
    ],
)
def test_broken_files_are_named_with_the_line(tmp_path, text, message):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(OptimandError, match=message):
        load_file(file)


def test_missing_files_are_named():
    with pytest.raises(OptimandError, match=r"file 'nowhere\.py' does not exist"):
        catalog.get_problem("nowhere.py:problem")


def test_an_object_that_is_no_problem_is_told_what_it_lacks(tmp_path):
    file = tmp_path / "half.py"
    file.write_text("class Half:\n    name = 'half'\n    family = 'training'\n")
    with pytest.raises(OptimandError, match=r"is no problem: Half lacks summary, unit, budget, .*run"):
        catalog.get_problem(f"{file}:Half")


def test_an_edited_file_is_loaded_anew(tmp_path):
    file = tmp_path / "edited.py"
    file.write_text("value = 1")
    assert load_file(file).value == 1
    assert load_file(file) is load_file(file)
    file.write_text("value = 2")
    assert load_file(file).value == 2


def test_registering_a_taken_name_is_refused():
    catalog.methods("training")

    def other(params, lr=1.0):
        """Another."""

    with pytest.raises(ValueError, match=r"method name 'lion' is taken by optimand\.optim\.lion:Lion"):
        catalog.method("lion", family="training")(other)
    with pytest.raises(ValueError, match="problem name 'digits-mlp' is taken"):
        catalog.problem("digits-mlp", family="training")(other)


def test_registering_with_an_unknown_hyperparameter_is_refused():
    def build(params, lr=1.0):
        """A method."""

    with pytest.raises(ValueError, match="'lrr' is no parameter of"):
        catalog.method("new", family="training", space={"lrr": Float(0, 1)})(build)
    assert "new" not in catalog.methods("training")


def test_a_preset_fixes_hyperparameters(monkeypatch):
    monkeypatch.setattr(catalog, "_methods", dict(catalog._methods))

    def build(params, lr=1.0, kind="a"):
        """A method."""
        return params, lr, kind

    catalog.method("preset", family="elsewhere", fixed={"kind": "b"}, defaults={"lr": 0.5})(build)
    preset = catalog.methods("elsewhere")["preset"]
    assert preset.defaults == {"lr": 0.5}
    assert preset.summary == "A method."
    assert preset.build("p", **preset.hyper({})) == ("p", 0.5, "b")


def test_plugins_are_found_by_entry_point_and_a_broken_one_is_only_warned_of(monkeypatch):
    entries = [
        EntryPoint("good", "json", catalog.ENTRY_POINT_GROUP),
        EntryPoint("bad", "no_such_module_at_all", catalog.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    monkeypatch.setattr(catalog, "_plugins_loaded", False)
    with pytest.warns(UserWarning, match=r"plugin 'bad' \(no_such_module_at_all\) was not loaded"):
        catalog.load_plugins()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        catalog.load_plugins()


def test_claims_belong_to_their_paper_and_have_names_of_their_own():
    for slug in papers.listed_claims():
        found = papers.claims(slug)
        assert {claim.paper for claim in found} == {slug}
        assert len({claim.name for claim in found}) == len(found)
    assert papers.claims("unknown") == []


def test_a_claim_is_either_checked_or_says_why_not():
    with pytest.raises(ValueError, match="exactly one of check and untestable"):
        Claim("p", "c", "s", "v")
    with pytest.raises(ValueError, match="exactly one"):
        Claim("p", "c", "s", "v", check=lambda: Finding("", True), untestable="too big")
    assert StudySpec(("a",), ("b",)).tune == 0


def test_the_index_is_what_the_package_holds():
    code = (
        "from optimand.lab import indexing as i; import json\n"
        "found, old = i.build(), i.README.read_text() if i.README.exists() else ''\n"
        "print(json.dumps([i.text(found), old, i.readme(old, found)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    text, old, readme = json.loads(done.stdout)
    assert text == index.FILE.read_text(), "the index is stale: make index"
    assert readme == old, "the README's table of papers is stale: make index"


def test_what_is_listed_is_not_imported_before_it_is_used():
    code = (
        "import sys\n"
        "from optimand.core import catalog\n"
        "assert 'digits-mlp' in catalog.problems() and 'lion' in list(catalog.methods('training'))\n"
        "assert catalog.problems().listed()['digits-mlp'].facts['unit'] == 'steps'\n"
        "catalog.get_problem('stream-clear-cut')\n"
        "ours = [name for name in sys.modules if name.startswith('optimand')]\n"
        "assert len(ours) <= 60 and 'torch' not in sys.modules, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_lists_its_rooms_and_names_what_it_lacks():
    assert {"optim", "training", "numerical", "online", "combinatorial", "offline", "language"} <= set(dir(optimand))
    assert optimand.__version__
    with pytest.raises(AttributeError, match="nothing"):
        optimand.nothing  # noqa: B018
