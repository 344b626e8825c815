"""Pools of demonstrations: our own, which come with the package, and the paper's in ``$OPTIMAND_DATA``."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from optimand.core.validation import OptimandError, check_choice

from .scenarios import Scenario, check_scenario, parse_scenario

Kind = Literal["linear", "nonlinear"]
FOLDER = "optibench-resocratic"


@dataclass(frozen=True)
class Demonstration:
    """One worked scenario to show a model.

    Attributes:
        text: the scenario as written.
        kind: ``linear`` or ``nonlinear``.
        geometry: about shapes, so that it is a problem without any constraint section too.
    """

    text: str
    kind: Kind
    geometry: bool = False

    @property
    def scenario(self) -> Scenario:
        """The scenario read; ScenarioError where it has a fault."""
        return parse_scenario(self.text)

    @property
    def valid(self) -> bool:
        """Whether the checker finds no fault."""
        return not check_scenario(self.text)


def own_pool(kind: Kind) -> tuple[Demonstration, ...]:
    """The demonstrations that come with the package: six linear, four nonlinear.

    Example:
        >>> len(own_pool("linear")), all(demonstration.valid for demonstration in own_pool("nonlinear"))
        (6, True)
    """
    check_choice("kind", kind, ("linear", "nonlinear"))
    text = resources.files(__package__).joinpath("seeds.toml").read_text(encoding="utf-8")
    return tuple(
        Demonstration(entry["scenario"].strip(), kind, entry.get("geometry", False))
        for entry in tomllib.loads(text)["demonstration"]
        if entry["kind"] == kind
    )


def load_pool(kind: Kind, root: str | os.PathLike[str] | None = None) -> tuple[Demonstration, ...]:
    """The paper's seed pool, from ``$OPTIMAND_DATA/optibench-resocratic/seed_pool_<kind>.json``.

    Args:
        kind: ``linear`` (13 demonstrations) or ``nonlinear`` (14).
        root: folder of the data; by default ``$OPTIMAND_DATA``.

    Raises:
        OptimandError: the file is not there, or not of the published form.
    """
    check_choice("kind", kind, ("linear", "nonlinear"))
    place = os.environ.get("OPTIMAND_DATA") if root is None else os.fspath(root)
    name = f"{FOLDER}/seed_pool_{kind}.json"
    if not place:
        raise OptimandError(f"the seed pools are files: set OPTIMAND_DATA to the folder that holds {name}")
    path = Path(place) / name
    if not path.is_file():
        raise OptimandError(f"{str(path)!r} is not there (OPTIMAND_DATA={place!r})")
    try:
        texts = [str(entry["scenario"]) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise OptimandError(f"{str(path)!r} must be a JSON list of objects with a scenario: {error}") from None
    # The paper counts two-section scenarios as problems for shapes only; those are the ones without whole numbers.
    return tuple(Demonstration(text, kind, kind == "nonlinear" and '"type"' not in text) for text in texts)
