"""Training networks: the run loop, the real problems, and the contract for optimizers.

A problem of one's own takes data, a model and a loss::

    from optimand.training import Settings, TensorData, TrainingProblem

    problem = TrainingProblem(name="mine", data=load, model=build, settings=Settings(batch_size=32), budget=500)

``optimand compare my_file.py:problem --methods adamw,lion`` then runs it like any built-in problem.
"""

from __future__ import annotations

from .batches import TensorData, TokenWindows, WindowData
from .llama import Llama, LlamaConfig
from .loop import train
from .objective import Objective, classification, language_modeling, regression, token_modeling
from .problem import TrainingProblem
from .settings import Settings

__all__ = [
    "Llama",
    "LlamaConfig",
    "Objective",
    "Settings",
    "TensorData",
    "TokenWindows",
    "TrainingProblem",
    "WindowData",
    "classification",
    "language_modeling",
    "regression",
    "token_modeling",
    "train",
]
