"""Small sets of rows and signals: breast cancer (convex) and MNIST-1D."""

from __future__ import annotations

from functools import partial

from ...core.validation import check_int
from ...data import load
from ..batches import TensorData
from ..models import MLP, SignalNet
from ..objective import classification
from .register import Parts, training_problem

by_accuracy = partial(classification, metric="accuracy")


def table(name: str, *, per_feature: bool) -> TensorData:
    """The set called ``name``, standardized by its training split."""
    return TensorData.from_table(load(name).standardized(per_feature=per_feature))  # type: ignore[union-attr]


@training_problem("breast-cancer-logistic", budget=1000, target=0.14, batch_size=32)
def breast_cancer_logistic() -> Parts:
    """Logistic regression on 30 measurements of 569 tumors: convex, badly conditioned.

    Ranked by cross-entropy: on 113 test examples accuracy moves in steps of almost 1 %.
    """
    return Parts(
        partial(table, "breast_cancer", per_feature=True),
        partial(MLP, 30, 0, 0, 2),
        "breast cancer (UCI), standardized, logistic regression",
    )


@training_problem("mnist1d-cnn", budget=1500, target=0.57, objective=by_accuracy, batch_size=100)
def mnist1d_cnn(*, channels: int = 25) -> Parts:
    """Convolutional network on MNIST-1D: signals of 40 values in 10 classes.

    Ranked by accuracy on 1000 test signals: the network can learn the training signals by heart, and then
    the cross-entropy of its mistakes rises while its accuracy does too.
    """
    check_int("channels", channels, low=1)
    return Parts(
        partial(table, "mnist1d", per_feature=False),
        partial(SignalNet, 40, channels, 10),
        f"MNIST-1D, convolutional network of {channels} channels",
    )
