"""A pipeline that reads handwritten digits as a workflow: scaling, principal components, nearest neighbours.

The images are scikit-learn's (1797 of 8 x 8, from the UCI repository). Each step is a traced function, so an optimizer
sees which setting acts where; feedback is the accuracy on images that the pipeline did not learn from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import OptimandError

if TYPE_CHECKING:
    from ..loop import Workflow

HELD = 350  # images of valid, and of test
LEAST, MOST = 2, 40  # principal components
NEIGHBOURS = 25
METRICS = ("euclidean", "manhattan", "chebyshev", "cosine")
WEIGHTS = ("uniform", "distance")


@functools.cache
def _digits() -> tuple[Any, Any]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise OptimandError("the pipeline needs scikit-learn: python -m pip install scikit-learn") from error
    bunch = load_digits()
    return bunch.data / 16.0, bunch.target


def digits_workflow(train: int, rng: np.random.Generator) -> Workflow:
    """The pipeline with settings that are far from good ones.

    Args:
        train: images to learn from.
        rng: draws which images are for what.
    """
    from ..loop import Hidden, Workflow
    from ..tracing.nodes import Node, ParameterNode

    X, y = _digits()
    order = rng.permutation(len(X))
    parts = np.split(order, [train, train + HELD, train + 2 * HELD])[:3]
    (learn, _), (_, _), (_, _) = sets = tuple((X[part], y[part]) for part in parts)
    about = {
        "standardize": "Whether each pixel is divided by its standard deviation.",
        "components": "How many principal components are kept.",
        "neighbours": "How many nearest images vote.",
        "weights": "How votes count.",
        "metric": "How distance is measured.",
    }
    parameters = (
        ParameterNode(True, name="standardize", description=about["standardize"]),
        ParameterNode(3, name="components", minimum=LEAST, maximum=min(MOST, len(learn) - 1),
                      description=about["components"]),
        ParameterNode(20, name="neighbours", minimum=1, maximum=NEIGHBOURS, description=about["neighbours"]),
        ParameterNode("uniform", name="weights", choices=WEIGHTS, description=about["weights"]),
        ParameterNode("chebyshev", name="metric", choices=METRICS, description=about["metric"]),
    )  # fmt: skip
    steps = _traced()
    data = Node(
        Hidden(sets[:2], f"{train} images and {HELD} others"),
        name="images",
        description="Images to learn from, and images to judge by.",
    )

    def forward() -> Any:
        standardize, components, neighbours, weights, metric = parameters
        scaled = steps["scale"](data, standardize)
        reduced = steps["project"](scaled, components)
        return steps["classify"](reduced, neighbours, weights, metric)

    def held_out() -> float:
        standardize, components, neighbours, weights, metric = (parameter.data for parameter in parameters)
        reduced = _project(_scale((sets[0], sets[2]), standardize), components)
        return 1.0 - _classify(reduced, neighbours, weights, metric)

    return Workflow(
        parameters=parameters,
        forward=forward,
        guide=lambda accuracy: f"accuracy: {accuracy:.4f} of {HELD} images.",
        measure=lambda accuracy: 1.0 - accuracy,
        held_out=held_out,
        worst=1.0,
    )


def _scale(data: Any, standardize: bool) -> Any:
    (X, y), (Z, t) = data
    mean = X.mean(axis=0)
    scale = X.std(axis=0) if standardize else np.ones(X.shape[1])
    scale = np.where(scale > 0, scale, 1.0)
    return ((X - mean) / scale, y), ((Z - mean) / scale, t)


def _project(data: Any, components: int) -> Any:
    (X, y), (Z, t) = data
    axes = np.linalg.svd(X, full_matrices=False)[2][:components].T
    return (X @ axes, y), (Z @ axes, t)


def _classify(data: Any, neighbours: int, weights: str, metric: str) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    (X, y), (Z, t) = data
    model = KNeighborsClassifier(n_neighbors=neighbours, weights=weights, metric=metric, algorithm="brute")
    return float((model.fit(X, y).predict(Z) == t).mean())


@functools.cache
def _traced() -> dict[str, Callable[..., Any]]:
    from ..loop import Hidden
    from ..tracing.bundles import bundle

    @bundle(description="[scale] Subtracts each pixel's mean and, if asked to, divides by its standard deviation.")
    def scale(data: Any, standardize: Any) -> Any:
        return Hidden(_scale(data.value, standardize), "images, centred")

    @bundle(description="[project] Keeps the leading principal components.")
    def project(data: Any, components: Any) -> Any:
        return Hidden(_project(data.value, components), f"images as {components} numbers each")

    @bundle(description="[classify] Share of images that nearest neighbours read rightly.")
    def classify(data: Any, neighbours: Any, weights: Any, metric: Any) -> Any:
        return _classify(data.value, neighbours, weights, metric)

    return {"scale": scale, "project": project, "classify": classify}
