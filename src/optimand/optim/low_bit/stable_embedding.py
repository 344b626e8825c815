"""An embedding that trains steadily with low-bit optimizers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class StableEmbedding(nn.Embedding):
    """An embedding with Xavier-uniform weights and layer normalisation, whose optimizer state stays in 32 bits.

    The normalisation, computed in torch's default dtype, keeps the scale of the outputs; positions are to be added
    after it. The weight has the mark ``optim_bits = 32``, which the optimizers of :mod:`optimand.optim.low_bit` heed;
    where parameters are replaced by others (FSDP), name the weight in ``overrides`` instead.

    Args:
        num_embeddings: number of rows.
        embedding_dim: length of a row.
        padding_idx: a row that stays zero.
        options: further arguments of :class:`torch.nn.Embedding` (``sparse=True`` gives gradients that the optimizers
            refuse).

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, arXiv 2110.02861, section 2.3.

    Example:
        >>> import torch
        >>> embedding = StableEmbedding(10, 4)
        >>> embedding(torch.tensor([1, 2])).shape, embedding.weight.optim_bits
        (torch.Size([2, 4]), 32)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, **options: Any) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx, **options)
        self.norm = nn.LayerNorm(embedding_dim, device=self.weight.device)
        self._mark()

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in +-sqrt(6 / (rows + columns))."""
        nn.init.xavier_uniform_(self.weight)
        self._fill_padding_idx_with_zero()

    def forward(self, input: Tensor) -> Tensor:
        """The normalised rows.

        Args:
            input: row numbers, of any shape.

        Returns:
            The rows, with one dimension more than ``input``, in the dtype of the weight.
        """
        rows = super().forward(input)
        return self.norm(rows.to(self.norm.weight.dtype)).to(self.weight.dtype)  # type: ignore[no-any-return]

    # Wherever torch may put another parameter in the place of the weight, it must be marked anew.

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._mark()

    def _apply(self, *args: Any, **options: Any) -> StableEmbedding:  # to_empty, to another kind of device
        super()._apply(*args, **options)
        self._mark()
        return self

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:  # load_state_dict(assign=True)
        super()._load_from_state_dict(*args, **options)
        self._mark()

    def _mark(self) -> None:
        setattr(self.weight, "optim_bits", 32)  # noqa: B010
