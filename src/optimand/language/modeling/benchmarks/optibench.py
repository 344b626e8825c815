"""OptiBench and NL4OPT-E (arXiv 2407.09887): problems in words with numeric answers, from files of the user.

The files ``OptiBench.json`` and ``NL4OPT-E.json`` of the official repository (Apache-2.0) are read from
``$OPTIMAND_DATA/optibench-resocratic``; nothing of them is part of this package.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError, check_choice, check_int

from ..execution import TYPES, ModelingProblem

FOLDER = "optibench-resocratic"
FILES = {"optibench": "OptiBench.json", "nl4opt-e": "NL4OPT-E.json"}
SPLITS = ("train", "valid", "test")


def find_data(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the benchmark's files.

    Args:
        root: the folder that holds ``optibench-resocratic``; by default ``$OPTIMAND_DATA``.

    Raises:
        OptimandError: there is none; the message says what to set.
    """
    place = os.environ.get("OPTIMAND_DATA") if root is None else os.fspath(root)
    if not place:
        raise OptimandError(
            "OptiBench's files do not come with this package: set OPTIMAND_DATA (an environment "
            f"variable), or root=, to the folder that holds {FOLDER}/{FILES['optibench']}"
        )
    folder = Path(place).expanduser() / FOLDER
    if not folder.is_dir():
        raise OptimandError(f"OptiBench was not found: {str(folder)!r} is no folder (OPTIMAND_DATA={place!r})")
    return folder


def available(root: str | os.PathLike[str] | None = None) -> bool:
    """Whether both files are there."""
    try:
        folder = find_data(root)
    except OptimandError:
        return False
    return all((folder / name).is_file() for name in FILES.values())


def load_optibench(
    split: str | None = None, types: Iterable[str] | None = None, *, root: str | os.PathLike[str] | None = None
) -> list[ModelingProblem]:
    """The problems of OptiBench.

    Args:
        split: None for all 605; ``test`` (398), ``valid`` (94) or ``train`` (113) for parts that do not overlap. The
            benchmark has no splits; these are ours, drawn by a digest of each question.
        types: of :data:`~optimand.language.modeling.execution.TYPES`; None for all four.
        root: see :func:`find_data`.

    Raises:
        OptimandError: the file is missing or damaged.
    """
    return _chosen("optibench", split, types, root)


def load_nl4opt_e(
    split: str | None = None,
    *,
    without_optibench: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> list[ModelingProblem]:
    """The 289 linear problems of NL4OPT-E.

    Args:
        split: as for :func:`load_optibench`.
        without_optibench: leave out those that are also in OptiBench (190), for training beside a test on it.
        root: see :func:`find_data`.

    Raises:
        OptimandError: a file is missing or damaged.
    """
    found = _chosen("nl4opt-e", split, None, root)
    if not without_optibench:
        return found
    known = {plain_text(problem.question) for problem in load_optibench(root=root)}
    return [problem for problem in found if plain_text(problem.question) not in known]


def plain_text(text: str) -> str:
    """A text without case and what is no letter, digit or underscore: equal for questions that are the same."""
    return re.sub(r"\W+", "", text).lower()


def split_of(problem: ModelingProblem) -> str:
    """The part of the benchmark that a problem belongs to: a digest of its question decides, so it never moves."""
    import hashlib

    place = int.from_bytes(hashlib.sha256(plain_text(problem.question).encode()).digest()[:4], "big") / 2**32
    return "train" if place < 0.175 else "valid" if place < 0.34 else "test"


def _chosen(
    name: str, split: str | None, types: Iterable[str] | None, root: str | os.PathLike[str] | None
) -> list[ModelingProblem]:
    if split is not None:
        check_choice("split", split, SPLITS)
    if isinstance(types, str):
        types = [types]
    wanted = TYPES if types is None else tuple(check_choice("types", kind, TYPES) for kind in types)
    problems = _load(name, str(find_data(root) / FILES[name]))
    return [item for item in problems if item.type in wanted and split in (None, split_of(item))]


@functools.lru_cache(maxsize=8)
def _load(name: str, path: str) -> tuple[ModelingProblem, ...]:
    try:
        items = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptimandError(f"{path!r} could not be read: {error}") from error
    except ValueError as error:
        raise OptimandError(f"{path!r} holds no JSON: {error}") from error
    if not isinstance(items, list):
        raise OptimandError(f"{path!r} must hold a list of problems, got {type(items).__name__}")
    return tuple(read_problem(item, name) for item in items)


def read_problem(item: Any, benchmark: str = "optibench") -> ModelingProblem:
    """A problem from an item ``{index, question, type, results}`` of the benchmark's files.

    Raises:
        OptimandError: a part is missing, the question is empty, the type unknown, or an answer is no plain number.

    Example:
        >>> read_problem({"index": 3, "question": "How many?", "type": "linear-notable", "results": {"n": "2.0"}}).id
        'optibench/3'
    """
    if not isinstance(item, dict):
        raise OptimandError(f"a problem must be an object, got {item!r:.60}")
    missing = [key for key in ("index", "question", "type", "results") if key not in item]
    if missing:
        raise OptimandError(f"a problem must have {', '.join(missing)}; it has {', '.join(item) or 'nothing'}")
    name = f"{benchmark}/{check_int('index', item['index'])}"
    answers = {}
    for query, text in dict(item["results"]).items():
        try:
            answers[str(query)] = float(text)
        except (TypeError, ValueError):
            raise OptimandError(
                f"problem {name!r}: the answer to {query!r:.60} must be a number, got {text!r}"
            ) from None
    return ModelingProblem(name, item["question"], item["type"], answers)
