"""MNIST-1D (Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", arXiv 2011.14439), generated here.

The package ``mnist1d`` holds the generator. Only its generating part is used, never its downloader.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np

from ..core.validation import OptimandError
from .containers import TableData, take

_VALID = 800
_lock = threading.Lock()


def mnist1d(root: Path | None = None) -> TableData:
    """5000 signals of 40 values in 10 classes: 3200 train, 800 valid, 1000 test.

    The generator's own arguments and seed, and its own test split; its last 800 training signals are
    the validation split.
    """
    generator = _generator()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        # the generator seeds the two global generators; they are put back afterwards
        made = generator.make_dataset(generator.get_dataset_args())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    x, y = made["x"].astype(np.float32), made["y"]
    edge = len(y) - _VALID
    return TableData(
        "mnist1d",
        take(x, y, slice(edge)),
        take(x, y, slice(edge, None)),
        take(made["x_test"].astype(np.float32), made["y_test"], slice(None)),
        10,
        "MNIST-1D, made by the generator of the package mnist1d",
    )


def _generator() -> ModuleType:
    """The module ``mnist1d.data``, without the plotting and download libraries that it imports and we don't use."""
    loaded = sys.modules.get("mnist1d.data")
    if loaded is not None:
        return loaded
    if importlib.util.find_spec("mnist1d") is None:
        raise OptimandError("data set 'mnist1d' is made by the package mnist1d: pip install mnist1d")
    # imported before the stand-ins are in place, so that they find the real things
    importlib.import_module("scipy.interpolate")
    importlib.import_module("scipy.ndimage")
    with _lock:
        unused = [n for n in ("matplotlib", "matplotlib.pyplot", "requests") if n not in sys.modules]
        sys.modules.update({n: ModuleType(n) for n in unused})
        try:
            return importlib.import_module("mnist1d.data")
        finally:
            # whoever imports any of these later must get the real ones
            for n in [*unused, *(m for m in sys.modules if m.split(".")[0] == "mnist1d")]:
                sys.modules.pop(n, None)
