"""What methods with projected weight matrices share: their base class, projections, norms, shards and buffers."""

from __future__ import annotations

from .base import MatrixOptimizer, Place, as_matrix
from .buffers import read, work_dtype, write
from .norms import adam_direction, channel_squares, limit_growth, norm_ratio
from .random import gaussian_projection, generator_of, mix64, orthonormal_projection
from .sharding import Shard2d, local_of, shard_of

__all__ = [
    "MatrixOptimizer",
    "Place",
    "Shard2d",
    "adam_direction",
    "as_matrix",
    "channel_squares",
    "gaussian_projection",
    "generator_of",
    "limit_growth",
    "local_of",
    "mix64",
    "norm_ratio",
    "orthonormal_projection",
    "read",
    "shard_of",
    "work_dtype",
    "write",
]
