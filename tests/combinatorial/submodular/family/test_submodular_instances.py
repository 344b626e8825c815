"""Graphs, verses and tables as objectives; what is said where their data are missing."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest

from optimand.combinatorial.submodular.instances.graphs import attachment_edges, graph_coverage, read_edges
from optimand.combinatorial.submodular.instances.tables import table, table_objective
from optimand.combinatorial.submodular.instances.texts import verse_coverage, verses, words_covered
from optimand.core.validation import OptimandError


def test_a_node_covers_itself_and_its_neighbours(tmp_path):
    (tmp_path / "dynamic-submodular").mkdir()
    with gzip.open(tmp_path / "dynamic-submodular" / "email-enron.edges.gz", "wt") as file:
        file.write("0 1\n0 2\n3 4\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIMAND_DATA", str(tmp_path))
        assert read_edges("email-enron").tolist() == [[0, 1], [0, 2], [3, 4]]
        f = graph_coverage("email-enron")
    assert f.gains(f.start(), f.ids()).tolist() == [3, 2, 2, 2, 2]


def test_generated_graphs_have_hubs_and_are_a_function_of_the_seed():
    ends = attachment_edges(500, 1)
    assert (ends == attachment_edges(500, 1)).all()
    degrees = np.bincount(ends.ravel(), minlength=500)
    assert degrees.min() >= 1
    assert degrees.max() > 8 * np.median(degrees)
    assert (ends[:, 0] != ends[:, 1]).all()


def test_missing_and_damaged_graphs_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA to the folder that holds dynamic-submodular/"):
        graph_coverage("email-enron")
    (tmp_path / "dynamic-submodular").mkdir()
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    with pytest.raises(OptimandError, match="could not be read"):
        read_edges("ego-facebook")
    file = tmp_path / "dynamic-submodular" / "ego-facebook.edges.gz"
    for content in (b"1 2 3", b"1 x", b""):
        file.write_bytes(gzip.compress(content))
        with pytest.raises(OptimandError, match="must hold pairs of node numbers"):
            read_edges("ego-facebook")
    with pytest.raises(ValueError, match="graph must be one of"):
        graph_coverage("enron")


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(OptimandError, match="python -m pip install networkx"):
        graph_coverage("karate")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(OptimandError, match="python -m pip install scikit-learn"):
        table("wine")


def test_words_weigh_by_how_often_and_in_how_few_lines_they_are():
    f = words_covered(("the lamp, the LAMP", "the sea", "the sea of sand"))
    singles = f.gains(f.start(), f.ids())
    assert singles.tolist() == pytest.approx([2 * np.log(3), 2 * np.log(1.5), 2 * np.log(1.5) + np.log(3)])
    assert f.value([1, 2]) == pytest.approx(singles[2])  # the second line has nothing that the third has not


def test_the_text_has_its_verses_in_order():
    f = verse_coverage()
    assert f.n == len(verses()) > 20_000
    assert verses()[0] == "In the beginning God created the heavens and the earth."
    assert f.value([0]) > 0
    assert verse_coverage() is not f


def test_tables_are_standardized_and_objectives_fit_them():
    assert table("wine").shape == (178, 13)
    assert table("wine").std(axis=0) == pytest.approx(np.ones(13))
    assert table("digits").max() == 16
    for objective in ("facility", "log-det", "graph-cut"):
        f = table_objective("wine", objective, 5)
        assert f.monotone
        assert f.gains(f.start(), f.ids()).min() > 0
