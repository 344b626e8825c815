"""Parameter groups for a network: which parameters a method projects, decays, or leaves to AdamW.

One call gives what a constructor takes::

    optimizer = APOLLO(param_groups_for(model, "apollo", rank=128), lr=1e-2)

The groups are named after what they hold: ``matrices`` (the linear layers inside the network), ``embeddings``,
``head``, ``other``, ``vectors``, ``biases``, ``norms``. Weight decay is for the first four; frozen parameters are left
out, and weights that embedding and head share stand once, with the embeddings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from optimand.core.validation import check_int, check_number, suggest

from .roles import MATRIX_NAMES, ROLES, RoutedParameter, block_path, check_role, matrix_width, parameter_roles

NO_DECAY = ("vectors", "biases", "norms")
# A matrix stored as (inputs, outputs) is treated like its transpose: what is along one side lies along the other.
_SWAPPED = {
    "subspace": {"columns": "rows", "rows": "columns"},
    "proj_type": {"left": "right", "right": "left"},
    "proj_side": {"left": "right", "right": "left"},
}
# These rules choose the side by the shape; on a square matrix they take the columns, or the rows.
_SQUARE = {"std": "left", "reverse_std": "right"}


@dataclass(frozen=True)
class Route:
    """What a method's matrices need in their group.

    Attributes:
        keys: options that belong into the matrices' group; hyperparameters of these names go there.
        defaults: options that are set unless given; a ``rank`` of None stands for a quarter of the network's width.
        assumed: the constructor's values of options that transposed matrices need otherwise.
        none: what says that a group has no matrices, where the constructor would take all parameters for some.
        blocks: whether each layer of the network gets groups of its own, with its name under ``block``.
    """

    keys: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    assumed: Mapping[str, Any] = field(default_factory=dict)
    none: Mapping[str, Any] = field(default_factory=dict)
    blocks: bool = False

    @property
    def projects(self) -> bool:
        """Whether the method treats matrices in a way of its own."""
        return bool(self.keys)


_RANKED = ("rank", "update_proj_gap", "scale", "proj", "proj_type")
_STANDARD = {"proj_type": "std"}
_WITHOUT_RANK = {"rank": None}
_GALORE = Route(_RANKED, {"rank": None}, _STANDARD, _WITHOUT_RANK)
_SUBSPACE = ("density", "update_gap", "subspace", "proj_side", "is_proj_params")
ROUTES: dict[str, Route] = {
    "apollo": Route((*_RANKED, "scale_type"), {"rank": None}, _STANDARD, _WITHOUT_RANK),
    "apollo-mini": Route((*_RANKED, "scale_type"), {"rank": 1}, _STANDARD, _WITHOUT_RANK),
    "galore": _GALORE,
    "fira": _GALORE,
    "frugal": Route(
        _SUBSPACE, {"is_proj_params": True}, {"subspace": "columns", "proj_side": "std"}, {"is_proj_params": False}
    ),
    "badam": Route(blocks=True),
}
# Methods with one rule for all parameters; each may end in -8bit or -4bit.
PLAIN = (
    "adam", "adamw", "sgd", "rmsprop", "adagrad", "lamb", "lars", "ademamix",
    "lion", "lion-cautious", "signum", "exadam", "lion-k",
)  # fmt: skip


def route_of(method: str) -> Route:
    """How a method's parameters are grouped.

    Args:
        method: ``apollo``, ``apollo-mini``, ``frugal``, ``galore``, ``fira``, ``badam``, or a method with one rule for
            all parameters, such as ``adamw`` or ``adamw-8bit``.

    Raises:
        ValueError: an unknown method.
    """
    if method in ROUTES:
        return ROUTES[method]
    if str(method).removesuffix("-8bit").removesuffix("-4bit") in PLAIN:
        return Route()
    known = [*ROUTES, *PLAIN]
    raise ValueError(
        f"method must be one of {', '.join(known)}, or one of these with -8bit or -4bit; got {method!r}"
        f"{suggest(str(method), known)}"
    )


def param_groups_for(
    model: nn.Module,
    method: str,
    *,
    include: Iterable[str] = MATRIX_NAMES,
    exclude: Iterable[str] = (),
    weight_decay: float | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    named: bool = False,
    **options: Any,
) -> list[dict[str, Any]]:
    """The parameters of a network in the groups that a method wants, ready for its constructor.

    Args:
        model: the network, of Hugging Face's or any other; see :func:`optimand.optim.roles.parameter_roles` for what
            counts as a matrix.
        method: name of the method, as for :func:`route_of`.
        include: parts of the names of modules whose weights are matrices; by default GaLore's, together with what
            shares a layer with them.
        exclude: parts of names that are never matrices; they win over ``include``.
        weight_decay: of the groups that decay; None leaves it to the constructor. Norms, biases and other vectors
            never decay.
        overrides: further options by group name, such as ``{"embeddings": {"lr": 1e-3}}``.
        named: whether ``params`` holds pairs of name and parameter, as ``torch.optim`` takes them.
        options: options of the matrices' group, such as ``rank``, ``scale``, ``update_proj_gap`` for APOLLO and GaLore
            (``rank=None``, the default, is a quarter of the width) or ``density`` and ``subspace`` for FRUGAL.

    Returns:
        Groups with ``params``, ``name`` and options; empty ones are left out. Matrices that are stored transposed and
        therefore need other options are in ``matrices-transposed``.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: an unknown method, an option that its groups do not have, an override of what is no group, or no
            trainable parameter.

    Warns:
        UserWarning: the method treats matrices in its own way, and the network has none, or has more weights in other
            tensors inside it (convolutions, stacked experts).

    Example:
        >>> model = nn.ModuleDict({"embed": nn.Embedding(9, 8), "mlp": nn.Linear(8, 8), "norm": nn.LayerNorm(8)})
        >>> for group in param_groups_for(model, "apollo", weight_decay=0.1):
        ...     print(group["name"], len(group["params"]), group["weight_decay"], group.get("rank"))
        matrices 1 0.1 2
        embeddings 1 0.1 None
        biases 1 0.0 None
        norms 2 0.0 None
    """
    route = route_of(method)
    for name in options:
        if name not in route.keys:
            raise ValueError(
                f"{name} is no option of the groups of {method!r}; they have {', '.join(route.keys) or 'none'}"
                f"{suggest(name, route.keys)}"
            )
    routed = parameter_roles(model, include=include, exclude=exclude)
    chosen = {**route.defaults, **options}
    width = matrix_width(routed)
    if route.projects and (message := _few_matrices(method, routed)):
        warnings.warn(message, UserWarning, stacklevel=2)
    if "rank" in chosen:
        chosen["rank"] = max(1, width // 4) if chosen["rank"] is None else check_int("rank", chosen["rank"], low=1)
    groups = _groups(routed, chosen, route.assumed, blocks=route.blocks)
    if not width:
        groups = [replace(group, options={**group.options, **route.none}) for group in groups]
    return _finish(groups, weight_decay, overrides or {}, named)


def _few_matrices(method: str, routed: list[RoutedParameter]) -> str:
    """What to tell a user whose network has hardly anything for the method; empty where it has."""
    matrices = sum(p.parameter.numel() for p in routed if p.role == "matrices")
    others = sorted((p for p in routed if p.role == "other"), key=lambda p: -p.parameter.numel())
    rest = sum(p.parameter.numel() for p in others)
    if not matrices:
        return f"the model has no matrix that {method} could project: every parameter is updated by its plain rule"
    if rest <= matrices:
        return ""
    return (
        f"the model has more weights in other tensors ({rest:,}) than in matrices that {method} could project "
        f"({matrices:,}); the largest is {others[0].name!r} of shape {tuple(others[0].parameter.shape)}. They are "
        "updated, and take memory, by its plain rule"
    )


@dataclass
class _Group:
    name: str
    role: str
    members: list[RoutedParameter]
    options: dict[str, Any] = field(default_factory=dict)


def _groups(
    routed: list[RoutedParameter], options: Mapping[str, Any], assumed: Mapping[str, Any], *, blocks: bool = False
) -> list[_Group]:
    """Groups in the order of the roles; with ``blocks``, block by block and the roles in each."""
    found: dict[tuple[str, str, bool], _Group] = {}
    for place in routed:
        block = _block(place) if blocks else ""
        own: dict[str, Any] = dict(options) if place.role == "matrices" else {}
        changes = _swapped({**assumed, **options}, place) if place.transposed else {}
        own |= changes
        if blocks:
            own["block"] = block
        name = place.role + ("-transposed" if changes else "")
        key = (block, name, bool(changes))
        if key not in found:
            found[key] = _Group(f"{block}.{name}" if block else name, place.role, [], own)
        found[key].members.append(place)
    order = {block: i for i, block in enumerate(dict.fromkeys(block for block, _, _ in found))}
    return [found[k] for k in sorted(found, key=lambda k: (order[k[0]], ROLES.index(found[k].role), k[2]))]


def _block(place: RoutedParameter) -> str:
    """A layer; outside of layers ``input`` (embeddings) or ``output`` (the head, and norms beside it)."""
    layer = block_path(place.name)
    if layer:
        return layer
    return "input" if place.role == "embeddings" else "output"


def block_of(name: str) -> str:
    """The layer that a parameter belongs to: its name up to the first number, else its module's name.

    Example:
        >>> block_of("model.layers.3.mlp.up_proj.weight"), block_of("lm_head.weight")
        ('model.layers.3', 'lm_head')
    """
    module = name.rpartition(".")[0]
    return block_path(module) or module or name


def _swapped(options: Mapping[str, Any], place: RoutedParameter) -> dict[str, Any]:
    """What must change for a transposed matrix to be treated like its transpose."""
    rows, columns = place.parameter.shape
    changes = {}
    for name, opposite in _SWAPPED.items():
        value = str(options.get(name))
        if rows == columns and name != "subspace":
            opposite = {**opposite, **_SQUARE}
        if value in opposite:
            changes[name] = opposite[value]
    return changes


def _finish(
    groups: list[_Group], weight_decay: float | None, overrides: Mapping[str, Mapping[str, Any]], named: bool
) -> list[dict[str, Any]]:
    if weight_decay is not None:
        check_number("weight_decay", weight_decay, low=0.0)
    for name in overrides:
        if name not in [group.name for group in groups]:
            check_role("a name in overrides", name)
    finished = []
    for group in groups:
        params = [(p.name, p.parameter) if named else p.parameter for p in group.members]
        own: dict[str, Any] = {"params": params, "name": group.name, **group.options}
        if group.role in NO_DECAY:
            own["weight_decay"] = 0.0
        elif weight_decay is not None:
            own["weight_decay"] = weight_decay
        finished.append({**own, **overrides.get(group.name, overrides.get(group.role, {}))})
    return finished
