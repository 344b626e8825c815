"""Block-wise quantization: tensors as 8-bit or 4-bit codes with a scale per block, and formulas that update them.

A :class:`QuantizedTensor` holds an optimizer's state in a quarter (an eighth) of its memory;
:class:`QuantizedKernel` runs an optimizer's formula on such states, block by block, without a full-precision copy.
Nothing here knows an optimizer.
"""

from __future__ import annotations

from .codec import dequantize_blockwise, quantize_blockwise
from .kernel import QuantizedKernel
from .maps import MAPS, Map, dynamic_map
from .tensor import QuantizedTensor

__all__ = [
    "MAPS",
    "Map",
    "QuantizedKernel",
    "QuantizedTensor",
    "dequantize_blockwise",
    "dynamic_map",
    "quantize_blockwise",
]
