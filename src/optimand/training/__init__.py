"""Training networks: the run loop, the real problems, and the contract for optimizers.

A problem of one's own takes data, a model and a loss::

    from optimand.training import Settings, TensorData, TrainingProblem

    problem = TrainingProblem(name="mine", data=load, model=build, settings=Settings(batch_size=32), budget=500)

``optimand compare my_file.py:problem --methods adamw,lion`` then runs it like any built-in problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .batches import TensorData as TensorData
    from .batches import TokenWindows as TokenWindows
    from .batches import WindowData as WindowData
    from .llama import Llama as Llama
    from .llama import LlamaConfig as LlamaConfig
    from .loop import train as train
    from .objective import Objective as Objective
    from .objective import classification as classification
    from .objective import language_modeling as language_modeling
    from .objective import regression as regression
    from .objective import token_modeling as token_modeling
    from .problem import TrainingProblem as TrainingProblem
    from .settings import Settings as Settings

__getattr__, __dir__, __all__ = lazy_exports(__name__)
