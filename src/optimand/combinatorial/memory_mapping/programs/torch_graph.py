"""Programs from graphs that ``torch.export`` traced.

Every placeholder is a parameter (inputs of the model too: they lie in slow memory at the start). Operators that return
a view are no instructions: what they return is their source, and reading it costs the whole source. Every other call is
an instruction, clones included. Arithmetic is counted for matrix products and convolutions alone, as these are what a
matrix unit is rated for. Compute times are floating-point operations over the machine's rate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from ..game.program import Buffer, Instruction, MemoryProgram

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ..game.hardware import Hardware

# Exact names: a test of suffixes would take logical_not for t. Those that split return views as well.
VIEWS = frozenset(
    (
        *("view", "permute", "expand", "unsqueeze", "squeeze", "select", "slice", "transpose", "t", "alias", "detach"),
        *("_unsafe_view", "getitem", "reshape", "_reshape_alias", "view_as", "narrow", "diagonal", "unfold", "chunk"),
        *("split", "split_with_sizes", "unbind", "as_strided", "unflatten", "movedim", "swapaxes", "expand_as"),
    )
)
# Results that depend on the shape of their argument alone, which is not read.
FILLERS = frozenset(("full_like", "zeros_like", "ones_like", "empty_like", "new_zeros", "new_ones", "new_full"))
# Operators whose arithmetic is that of products inside them.
COMPOSITE = frozenset(
    (
        *("scaled_dot_product_attention", "multi_head_attention_forward", "matmul", "einsum", "tensordot", "bilinear"),
        *("chain_matmul", "linalg_multi_dot", "linalg_matmul", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell"),
        *("gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        *("inner", "cosine_similarity", "cdist", "conv_tbc"),
    )
)


def from_torch_export(
    exported: ExportedProgram, hardware: Hardware, name: str = "", *, fillers_read: bool = False
) -> MemoryProgram:
    """The program of an exported graph.

    Args:
        exported: result of ``torch.export.export(model, inputs)``; call its ``run_decompositions()`` before to get
            elementary operators.
        hardware: its ``flops`` turn operations into seconds.
        name: of the program.
        fillers_read: whether the argument of a ``full_like`` counts as read.

    Returns:
        A program whose buffers are the placeholders and the results of operators in the order of the graph. A tuple
        that an operator returns is one buffer of the bytes of those elements that are used (of the first, if none is).

    Raises:
        OptimandError: no exported program, a machine without ``flops``, a size that is not fixed, no operator, or one
            whose arithmetic is known only once ``run_decompositions()`` has split it.
    """
    graph = getattr(exported, "graph", None)
    if graph is None or not hasattr(graph, "nodes"):
        raise OptimandError(f"exported must be what torch.export.export returns, got {type(exported).__name__}")
    if hardware.flops is None:
        raise OptimandError("hardware must have flops to turn operations into seconds, got None")
    root: dict[Any, int] = {}
    buffers: list[Buffer] = []
    instructions: list[Instruction] = []
    results: set[int] = set()
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            size = _bytes(node, node.meta.get("val"))
            if size is not None:
                root[node] = len(buffers)
                buffers.append(Buffer(size, param=True, name=node.name))
        elif node.op == "call_function":
            inputs = tuple(dict.fromkeys(root[x] for x in node.all_input_nodes if x in root))
            operator = _operator(node)
            if operator in COMPOSITE:
                raise OptimandError(
                    f"node {node.name!r} is the composite operator {operator}, whose arithmetic is not known: call "
                    "exported.run_decompositions() and give its result"
                )
            if operator in FILLERS and not fillers_read:
                inputs = ()
            if inputs and (operator in VIEWS or (operator == "contiguous" and _is_contiguous(node.args[0]))):
                root[node] = root[next(x for x in node.all_input_nodes if x in root)]
                continue
            size = _bytes(node, _used(node))
            if size is None:  # assertions and sizes
                continue
            root[node] = len(buffers)
            instructions.append(
                Instruction(_flops(node, operator) / hardware.flops, (len(buffers),), inputs, node.name)
            )
            buffers.append(Buffer(size, name=node.name))
        elif node.op == "output":
            results = {root[x] for x in node.all_input_nodes if x in root}
        else:
            raise OptimandError(f"node {node.name!r} of kind {node.op!r} is not supported: export the whole model")
    if not instructions:
        raise OptimandError("exported has no operator that is not a view")
    final = [Buffer(x.size, x.param, b in results and not x.param, x.name) for b, x in enumerate(buffers)]
    return MemoryProgram(tuple(instructions), tuple(final), name=name)


def _operator(node: Any) -> str:
    """The operator's name without namespace and overload: ``squeeze`` for ``aten.squeeze.dims``."""
    schema = getattr(node.target, "_schema", None)
    return str(getattr(node.target, "__name__", node.target) if schema is None else schema.name).split("::")[-1]


def _is_contiguous(node: Any) -> bool:
    """Whether ``contiguous`` would return its argument as it is; else it copies."""
    return bool(node.meta["val"].is_contiguous())


def _used(node: Any) -> Any:
    """The value of a node; of a tuple, those elements that somebody takes."""
    value = node.meta.get("val")
    if not isinstance(value, tuple | list):
        return value
    taken = {user.args[1] for user in node.users if _operator(user) == "getitem"} or {0}
    return [value[i] for i in sorted(taken) if i < len(value)]


def _bytes(node: Any, value: Any) -> int | None:
    """Bytes of a tensor or of a list of them, at least 1; None where there is no tensor."""
    values = [x for x in (value if isinstance(value, tuple | list) else [value]) if hasattr(x, "element_size")]
    if not values:
        return None
    total = 0
    for tensor in values:
        if not all(isinstance(length, int) for length in tensor.shape):
            raise OptimandError(f"node {node.name!r} has the shape {tuple(tensor.shape)}: export with fixed sizes")
        total += math.prod(tensor.shape) * tensor.element_size()
    return max(1, total)


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _flops(node: Any, operator: str) -> float:
    """Floating-point operations of matrix products and convolutions, two per multiply-add; 0 for the rest."""
    if operator in ("mm", "bmm"):
        return 2.0 * math.prod(_shape(node.args[0])) * _shape(node.args[1])[-1]
    if operator in ("addmm", "baddbmm"):
        return 2.0 * math.prod(_shape(node.args[1])) * _shape(node.args[2])[-1]
    if operator in ("convolution", "conv1d", "conv2d", "conv3d"):
        image, weight = _shape(node.args[0]), _shape(node.args[1])
        per_output = math.prod(weight[1:])
        transposed = operator == "convolution" and len(node.args) > 6 and bool(node.args[6])
        return 2.0 * per_output * (math.prod(image) if transposed else math.prod(_shape(node)))
    if operator == "linear":
        return 2.0 * math.prod(_shape(node.args[0])) * _shape(node.args[1])[0]
    return 0.0
