"""Optimizers for training networks: ``torch.optim`` optimizers, a file each, loaded when first asked for.

Example:
    >>> import torch
    >>> from optimand.optim import Lion
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import kappa as kappa
    from .apollo import APOLLO as APOLLO
    from .apollo import APOLLOMini as APOLLOMini
    from .badam import BAdam as BAdam
    from .base import ElementwiseOptimizer as ElementwiseOptimizer
    from .blockwise import QuantizedTensor as QuantizedTensor
    from .blockwise import dequantize_blockwise as dequantize_blockwise
    from .blockwise import dynamic_map as dynamic_map
    from .blockwise import quantize_blockwise as quantize_blockwise
    from .exadam import EXAdam as EXAdam
    from .fira import Fira as Fira
    from .frugal import FRUGAL as FRUGAL
    from .galore import GaLore as GaLore
    from .int8_weights import QuantizedLinear as QuantizedLinear
    from .int8_weights import quantize_model_int8 as quantize_model_int8
    from .layerwise_updates import LayerwiseOptimizer as LayerwiseOptimizer
    from .layerwise_updates import layerwise as layerwise
    from .lion import Lion as Lion
    from .lion_k import LionK as LionK
    from .lion_k.flow import lion_k_flow as lion_k_flow
    from .lion_k.minimize import minimize_lionk as minimize_lionk
    from .low_bit import Adagrad8bit as Adagrad8bit
    from .low_bit import Adam8bit as Adam8bit
    from .low_bit import AdamW4bit as AdamW4bit
    from .low_bit import AdamW8bit as AdamW8bit
    from .low_bit import AdEMAMix8bit as AdEMAMix8bit
    from .low_bit import LAMB8bit as LAMB8bit
    from .low_bit import LARS8bit as LARS8bit
    from .low_bit import Lion8bit as Lion8bit
    from .low_bit import LowBitOptimizer as LowBitOptimizer
    from .low_bit import RMSprop8bit as RMSprop8bit
    from .low_bit import SGD8bit as SGD8bit
    from .low_bit import StableEmbedding as StableEmbedding
    from .memory import state_bytes as state_bytes
    from .projection import MatrixOptimizer as MatrixOptimizer
    from .routing import param_groups_for as param_groups_for

__getattr__, __dir__, __all__ = lazy_exports(__name__)
