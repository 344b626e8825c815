"""RNA design: sequences that fold stably, or into a wanted structure, judged by ViennaRNA's exact folding.

The oracle is the minimum of the free energy over all secondary structures without pseudoknots, found by dynamic
programming with the nearest-neighbour parameters of ViennaRNA 2 (Lorenz et al., 2011). Offline are the worst half of
random sequences, as the landscapes of FLEXS (Sinai et al., arXiv 2010.02141) are used; a target in place of the energy
makes it the inverse folding problem.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_int

from .base import OfflineData, Task, worst_part
from .encoding import Floats, Ints, ints_to_text
from .stored import stored

LETTERS = "ACGU"
SHORTEST, LONGEST = 8, 400


def rna(structure: str | None = None, L: int | None = None, rows: int = 20_000, seed: int = 0) -> Task:
    """RNA of a given length; designs are integers for A, C, G, U.

    Args:
        structure: the wanted secondary structure in dots and brackets, such as ``((((....))))``; the value of a
            sequence is then the share of positions at which its best fold agrees with it. None for the stability of
            the best fold: ``-MFE`` in kcal/mol.
        L: length, 8 to 400; 14 by default, or that of the structure.
        rows: random sequences drawn; the worst half is offline (more where that half is all alike, see
            :func:`~optimand.offline.tasks.base.worst_part`).
        seed: of the sequences.

    Raises:
        OptimandError: ViennaRNA is not installed.

    The folding of the random sequences (0.05 ms each at 14 bases, 1 ms at 50) is kept in the cache folder.
    """
    length = SHORTEST + 6 if L is None else check_int("L", L, low=SHORTEST, high=LONGEST)
    if structure is not None:
        pair_table(structure)
        if L is not None and len(structure) != L:
            raise ValueError(f"L must be the structure's length, {len(structure)}, got {L}")
        length = check_int("length of structure", len(structure), low=SHORTEST, high=LONGEST)
    check_int("rows", rows, low=4)
    check_int("seed", seed, low=0)
    vienna = _vienna()
    oracle = Stability(vienna) if structure is None else Similarity(vienna, structure)
    x = np.random.default_rng(seed).integers(0, len(LETTERS), (rows, length))
    facts = {"structure": structure, "L": length, "rows": rows, "seed": seed, "version": vienna.__version__}
    y = stored("rna", facts, lambda: {"y": oracle(x)})["y"]
    part = worst_part(y)
    name = f"rna:L={length}" if structure is None else f"rna:{structure}"
    data = OfflineData(x[part], y[part], True, num_classes=len(LETTERS), name=name)
    aim = "stability of the best fold" if structure is None else f"similarity of the best fold to {structure}"
    # The best similarity is known to be 1, and its scale needs no sample.
    low, high = (float(y.min()), float(y.max())) if structure is None else (0.0, 1.0)
    return Task(data, oracle, y_min=low, y_max=high, summary=f"{length} bases of RNA, {aim}")


class Stability:
    """``-MFE`` in kcal/mol; ViennaRNA works with hundredths, so the value is rounded to them."""

    def __init__(self, vienna: Any) -> None:
        self.vienna = vienna

    def __call__(self, designs: Ints) -> Floats:
        energies = [self.vienna.fold(text)[1] for text in ints_to_text(designs, LETTERS)]
        # + 0.0: a sequence that does not fold has 0, not -0.
        return np.array([-round(energy, 2) + 0.0 for energy in energies])


class Similarity:
    """Share of positions whose partner in the best fold is the wanted one (or, as wanted, none)."""

    def __init__(self, vienna: Any, structure: str) -> None:
        self.vienna = vienna
        self.wanted = pair_table(structure)

    def __call__(self, designs: Ints) -> Floats:
        folds = [pair_table(self.vienna.fold(text)[0]) for text in ints_to_text(designs, LETTERS)]
        return np.array([float((fold == self.wanted).mean()) for fold in folds])


def pair_table(structure: str) -> Ints:
    """Partner of every position of a structure in dots and brackets; -1 where there is none.

    Raises:
        ValueError: another character, or brackets that do not match.

    Example:
        >>> pair_table("((..))").tolist()
        [5, 4, -1, -1, 1, 0]
    """
    if not isinstance(structure, str) or not structure:
        raise ValueError(f"structure must be text of dots and brackets, got {structure!r}")
    partner, still_open = np.full(len(structure), -1, dtype=np.int64), []
    for i, sign in enumerate(structure):
        if sign == "(":
            still_open.append(i)
        elif sign == ")":
            if not still_open:
                raise ValueError(f"structure must have matching brackets, got ')' too many at position {i}")
            j = still_open.pop()
            partner[i], partner[j] = j, i
        elif sign != ".":
            raise ValueError(f"structure must be of '(', '.' and ')', got {sign!r} at position {i}")
    if still_open:
        raise ValueError(f"structure must have matching brackets, got '(' too many at position {still_open[-1]}")
    return partner


def _vienna() -> Any:
    try:
        return importlib.import_module("RNA")
    except ImportError as error:
        raise OptimandError("RNA design folds with ViennaRNA: python -m pip install ViennaRNA") from error
