"""Kappas by name, for hyperparameters and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimand.core.validation import OptimandError, suggest

from .base import Kappa
from .combinators import Scaled, Separable, Sum
from .elementwise import L1, DeadZone, Huber, LogCosh, Quadratic, Relativistic
from .matrix import Nuclear, Schatten
from .norms import L2, GroupL2, LInf, Lp, Softmax, TopK
from .routed import Routed

_KAPPAS: dict[str, type[Kappa]] = {
    cls.name: cls
    for cls in (
        L1, L2, Lp, LInf, DeadZone, TopK, Huber, Relativistic, LogCosh, Softmax, GroupL2, Nuclear, Schatten,
        Quadratic, Scaled, Sum, Separable, Routed,
    )
}  # fmt: skip


class UnknownKappaError(OptimandError, ValueError):
    """A kappa that the registry does not hold."""


def kappa_names() -> list[str]:
    """The names that ``get_kappa`` knows."""
    return list(_KAPPAS)


def register_kappa(cls: type[Kappa]) -> type[Kappa]:
    """Class decorator: make a Kappa of one's own known by its ``name``, so that checkpoints can name it.

    Raises:
        ValueError: ``name`` is empty or belongs to another class.
    """
    key = _find(cls.name)
    if not cls.name or (key is not None and _KAPPAS[key].__qualname__ != cls.__qualname__):
        raise ValueError(f"name of a kappa must be new and not empty, got {cls.name!r} for {cls.__qualname__}")
    _KAPPAS[cls.name] = cls
    return cls


def get_kappa(name: str | Kappa | Mapping[str, Any], **kwargs: Any) -> Kappa:
    """The kappa of this name.

    Args:
        name: such as ``"huber"``; case, hyphens and underscores do not matter (``"Top-K"`` is ``"top_k"``).
            A config (``{"name": "huber", "e": 0.5}``) or a Kappa, which is returned as it is, do too.
        kwargs: arguments of its class, such as ``e=0.5``.

    Raises:
        ValueError: the name is unknown (the message suggests the nearest), or an argument is out of range.
        TypeError: an argument is unknown, or ``name`` is of another type.

    Example:
        >>> get_kappa("huber", e=0.5)
        Huber(e=0.5)
    """
    if isinstance(name, Kappa):
        if kwargs:
            raise TypeError(f"kappa {name!r} is already made, got further arguments {sorted(kwargs)}")
        return name
    if isinstance(name, Mapping):
        return get_kappa(**{**name, **kwargs})
    if not isinstance(name, str):
        raise TypeError(f"kappa must be a name, a Kappa or a config, got {name!r} ({type(name).__name__})")
    key = _find(name)
    if key is None:
        raise UnknownKappaError(f"unknown kappa {name!r}; known: {', '.join(_KAPPAS)}{suggest(name, _KAPPAS)}")
    try:
        return _KAPPAS[key](**kwargs)
    except TypeError as error:
        raise TypeError(f"kappa {key!r}: {error}") from error


def _find(name: str) -> str | None:
    def plain(text: str) -> str:
        return text.lower().replace("-", "").replace("_", "").replace(" ", "")

    found = {plain(key): key for key in _KAPPAS}
    found.setdefault("group", GroupL2.name)
    return found.get(plain(name))
