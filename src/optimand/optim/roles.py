"""What each parameter of a network is for: a weight matrix, an embedding, the output head, a norm, a bias.

Matrix methods (APOLLO, GaLore, FRUGAL, …) treat the weight matrices inside the layers in their own way and everything
else like AdamW; which is which, only the module tree tells. The rule is GaLore's: weights of linear layers whose
module's name contains one of :data:`MATRIX_NAMES`, and those of the other linear layers in the same layer of the
network, whatever they are called (``fc1`` in OPT and BART, ``linear1`` in torch's transformers). In a model whose names
say nothing, all linear layers count but embeddings and the output head.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from optimand.core.validation import check_choice

# Substrings of module names: the rule of GaLore's and FRUGAL's training scripts.
MATRIX_NAMES = (
    "attn", "mlp", "q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj",
    "query", "key", "value", "intermediate.dense", "output.dense",
)  # fmt: skip
ROLES = ("matrices", "embeddings", "head", "other", "vectors", "biases", "norms")
# The last part of a head's name, in Hugging Face's models and in ours.
HEAD_NAMES = ("head", "heads", "lm_head", "classifier", "score", "embed_out", "output_projection", "unembed", "fc_out")


class RoutedParameter(NamedTuple):
    """A parameter with its role.

    Attributes:
        name: full name in the model; of a shared parameter, the first one.
        parameter: the parameter.
        role: ``matrices``, ``embeddings``, ``head``, ``norms``, ``biases``, ``other`` (further tensors of two and more
            dimensions) or ``vectors`` (further tensors of one and none).
        transposed: whether a matrix is stored as (inputs, outputs), as in Hugging Face's GPT-2, instead of
            ``nn.Linear``'s (outputs, inputs).
    """

    name: str
    parameter: Tensor
    role: str
    transposed: bool = False


def parameter_roles(
    model: nn.Module, *, include: Iterable[str] = MATRIX_NAMES, exclude: Iterable[str] = ()
) -> list[RoutedParameter]:
    """The role of every trainable parameter, in the model's order; a shared parameter stands once.

    Args:
        model: any module; Hugging Face models tell their output head, others by its name.
        include: parts of module names; linear layers whose name contains one are matrices, and by default also those
            that share a layer of the network (a path up to its first number) with one. Where no layer's name does,
            all linear layers are, but embeddings and the output head.
        exclude: parts of module names that are never matrices; they win over ``include``.

    Raises:
        TypeError: ``model`` is no module, or ``include`` or ``exclude`` holds no strings.
        ValueError: no parameter is trainable.

    Example:
        >>> model = nn.ModuleDict({"embed": nn.Embedding(9, 4), "mlp": nn.Linear(4, 4), "lm_head": nn.Linear(4, 9)})
        >>> [(p.name, p.role) for p in parameter_roles(model) if p.name.endswith("weight")]
        [('embed.weight', 'embeddings'), ('mlp.weight', 'matrices'), ('lm_head.weight', 'head')]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    include, exclude = _words("include", include), _words("exclude", exclude)
    linears = {path: module for path, module in model.named_modules() if _is_linear(module)}
    heads = _heads(model, linears, include)
    inner = {path for path in linears if path not in heads and not _contains(path, exclude)}
    matched = {path for path in inner if _contains(path, include)}
    attentions = (path for path, m in model.named_modules() if isinstance(m, nn.MultiheadAttention))
    attention = {path for path in attentions if _contains(path, include) and not _contains(path, exclude)}
    if include == MATRIX_NAMES:
        blocks = {block_path(path) for path in matched | attention} - {""}
        matched |= {path for path in inner if block_path(path) in blocks}
    chosen = matched if matched or attention else {path for path in inner if "embed" not in path.lower()}
    found: dict[int, RoutedParameter] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if not parameter.requires_grad:
                continue
            role = _role(path, module, name, parameter, chosen | attention, heads)
            full = f"{path}.{name}" if path else name
            transposed = role == "matrices" and _is_conv1d(module)
            first = found.get(id(parameter))
            if first is None:
                found[id(parameter)] = RoutedParameter(full, parameter, role, transposed)
            elif ROLES.index(role) == ROLES.index("embeddings"):
                # weights that the embedding and the head share are an embedding's: rows are looked up
                found[id(parameter)] = first._replace(role=role, transposed=False)
    if not found:
        raise ValueError("model must have a trainable parameter, got none")
    return list(found.values())


def matrix_width(routed: Iterable[RoutedParameter]) -> int:
    """The network's width: the commonest smaller side of its matrices; 0 without matrices.

    Example:
        >>> model = nn.ModuleDict({"attn": nn.Linear(8, 8), "mlp": nn.Linear(8, 24)})
        >>> matrix_width(parameter_roles(model))
        8
    """
    sides = Counter(min(p.parameter.shape) for p in routed if p.role == "matrices")
    return sides.most_common(1)[0][0] if sides else 0


def block_path(path: str) -> str:
    """The layer of the network that a module lies in: its path up to the first number; empty outside of layers.

    Example:
        >>> block_path("model.layers.3.mlp.up_proj"), block_path("lm_head")
        ('model.layers.3', '')
    """
    parts = path.split(".")
    return next((".".join(parts[: i + 1]) for i, part in enumerate(parts) if part.isdigit()), "")


def check_role(name: str, role: str) -> str:
    """Return ``role`` if it is one of :data:`ROLES`; ValueError otherwise."""
    return str(check_choice(name, role, ROLES))


def _words(name: str, words: Iterable[str]) -> tuple[str, ...]:
    if isinstance(words, str):
        raise TypeError(f"{name} must be a list of parts of module names, got the string {words!r}")
    listed = tuple(words)
    for word in listed:
        if not isinstance(word, str) or not word:
            raise TypeError(f"{name} must hold parts of module names, got {word!r}")
    return listed


def _contains(path: str, words: Iterable[str]) -> bool:
    return any(word in path for word in words)


def _is_conv1d(module: nn.Module) -> bool:
    """Hugging Face's Conv1D: a linear layer with its weight stored as (inputs, outputs)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and _matrix_of(module) is not None


def _is_linear(module: nn.Module) -> bool:
    # quantized and other re-made linear layers do not derive from nn.Linear, but keep its attributes
    shaped = hasattr(module, "in_features") and hasattr(module, "out_features") and _matrix_of(module) is not None
    return isinstance(module, nn.Linear) or shaped or _is_conv1d(module)


def _matrix_of(module: nn.Module) -> Tensor | None:
    weight = module._parameters.get("weight")
    return weight if weight is not None and weight.ndim == 2 else None


def _heads(model: nn.Module, linears: dict[str, nn.Module], include: tuple[str, ...]) -> set[str]:
    """Paths of the layers that give the network's output."""
    told = getattr(model, "get_output_embeddings", None)
    if callable(told):
        try:
            output = told()
        except NotImplementedError:
            output = None
        if output is not None:
            return {path for path, module in model.named_modules() if module is output}
    named = {path for path in linears if _is_head_name(path.rpartition(".")[2])}
    if named:
        return named
    last = next(reversed(linears), None)
    # A layer that occurs once a block is no head; nor is one whose name says that it is inside a layer.
    if last is None or last in _repeated(linears) or _contains(last, include):
        return set()
    return {last}


def _is_head_name(part: str) -> bool:
    return part.lower() in HEAD_NAMES or part.lower().endswith("_head")


def _repeated(paths: Iterable[str]) -> Iterator[str]:
    """Paths like ``blocks.2.down``, of which there are several that differ in the number alone."""
    shapes = [(path, re.sub(r"\.\d+\.", ".#.", f".{path}.")[:-1]) for path in paths]
    count = Counter(shape for _, shape in shapes)
    return (path for path, shape in shapes if count[shape] > 1 and not path.rpartition(".")[2].isdigit())


def _role(path: str, module: nn.Module, name: str, parameter: Tensor, chosen: set[str], heads: set[str]) -> str:
    kind = type(module).__name__
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) or (kind.endswith("Embedding") and name == "weight"):
        return "embeddings"
    if "norm" in kind.lower() and parameter.ndim < 2:
        return "norms"
    if path in heads and parameter.ndim >= 2:
        return "head"
    if name == "bias" or name.endswith("_bias"):
        return "biases"
    if parameter.ndim < 2:
        return "vectors"
    if path in chosen and parameter.ndim == 2 and name.endswith("weight"):
        return "matrices"
    loose = not isinstance(module, nn.Linear) and name != "weight"
    return "embeddings" if loose and _contains(name.lower(), ("embed", "pos", "token")) else "other"
