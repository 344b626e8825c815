"""Optimizers for training networks: ``torch.optim`` optimizers, a file each, loaded when first asked for.

Example:
    >>> import torch
    >>> from optimand.optim import Lion
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from . import kappa
    from .apollo import APOLLO, APOLLOMini
    from .badam import BAdam
    from .base import ElementwiseOptimizer
    from .blockwise import QuantizedTensor, dequantize_blockwise, dynamic_map, quantize_blockwise
    from .exadam import EXAdam
    from .fira import Fira
    from .frugal import FRUGAL
    from .galore import GaLore
    from .int8_weights import QuantizedLinear, quantize_model_int8
    from .layerwise_updates import LayerwiseOptimizer, layerwise
    from .lion import Lion
    from .lion_k import LionK
    from .lion_k.flow import lion_k_flow
    from .lion_k.minimize import minimize_lionk
    from .low_bit import (
        Adagrad8bit,
        Adam8bit,
        AdamW4bit,
        AdamW8bit,
        AdEMAMix8bit,
        LAMB8bit,
        LARS8bit,
        Lion8bit,
        LowBitOptimizer,
        RMSprop8bit,
        SGD8bit,
        StableEmbedding,
    )
    from .memory import state_bytes
    from .projection import MatrixOptimizer
    from .routing import matrix_param_groups, param_groups_for

_LOW_BIT = (
    "Adagrad8bit", "Adam8bit", "AdamW4bit", "AdamW8bit", "AdEMAMix8bit", "LAMB8bit", "LARS8bit", "Lion8bit",
    "LowBitOptimizer", "RMSprop8bit", "SGD8bit", "StableEmbedding",
)  # fmt: skip
_BLOCKWISE = ("QuantizedTensor", "dequantize_blockwise", "dynamic_map", "quantize_blockwise")
_HOMES = {
    "APOLLO": "apollo",
    "APOLLOMini": "apollo",
    "BAdam": "badam",
    "EXAdam": "exadam",
    "ElementwiseOptimizer": "base",
    "FRUGAL": "frugal",
    "Fira": "fira",
    "GaLore": "galore",
    "LayerwiseOptimizer": "layerwise_updates",
    "Lion": "lion",
    "LionK": "lion_k",
    "MatrixOptimizer": "projection",
    "QuantizedLinear": "int8_weights",
    "layerwise": "layerwise_updates",
    "lion_k_flow": "lion_k.flow",
    "matrix_param_groups": "routing",
    "minimize_lionk": "lion_k.minimize",
    "param_groups_for": "routing",
    "quantize_model_int8": "int8_weights",
    "state_bytes": "memory",
    **dict.fromkeys(_LOW_BIT, "low_bit"),
    **dict.fromkeys(_BLOCKWISE, "blockwise"),
}

__all__ = [
    "APOLLO",
    "FRUGAL",
    "APOLLOMini",
    "AdEMAMix8bit",
    "Adagrad8bit",
    "Adam8bit",
    "AdamW4bit",
    "AdamW8bit",
    "BAdam",
    "EXAdam",
    "ElementwiseOptimizer",
    "Fira",
    "GaLore",
    "LAMB8bit",
    "LARS8bit",
    "LayerwiseOptimizer",
    "Lion",
    "Lion8bit",
    "LionK",
    "LowBitOptimizer",
    "MatrixOptimizer",
    "QuantizedLinear",
    "QuantizedTensor",
    "RMSprop8bit",
    "SGD8bit",
    "StableEmbedding",
    "dequantize_blockwise",
    "dynamic_map",
    "kappa",
    "layerwise",
    "lion_k_flow",
    "matrix_param_groups",
    "minimize_lionk",
    "param_groups_for",
    "quantize_blockwise",
    "quantize_model_int8",
    "state_bytes",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES, modules=("kappa",))


def __dir__() -> list[str]:
    return __all__
