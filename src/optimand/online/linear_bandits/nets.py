"""Nets of parameters: finitely many vectors of ``R^s`` such that every one of a sphere or a ball has one near.

All radii are Euclidean lengths (chords, not angles).
"""

from __future__ import annotations

import math

import numpy as np

from optimand.core.validation import check_int, check_number

Array = np.ndarray

# The default limit of what is enumerated: supports times points of the net.
HYPOTHESES = 5 * 10**7


def sphere_net(s: int, eps: float) -> Array:
    """Points of the unit sphere in ``R^s`` such that every other is within ``eps`` of one.

    One dimension has ``+1`` and ``-1``; the circle has equally spaced angles ``2 pi i/n`` from 0 on with
    ``n = ceil(2 pi/(4 asin(eps/2)))``, neighbours being twice the covering radius apart. Higher spheres are cut into
    rings of equal height in angle, each with a net of the sphere below: with ``x = (cos t, sin t u)`` the squared
    distance of ``x`` and ``x'`` is ``4 sin²((t - t')/2) + sin t sin t' |u - u'|²``, of which the rings' height may take
    ``eps²/(s - 1)``. In three dimensions that is a tenth of the points of a cubic grid near the sphere.

    Args:
        s: dimension, at least 1.
        eps: covering radius, > 0.

    Returns:
        Shape ``(K, s)``.

    Example:
        >>> sphere_net(1, 0.5).tolist(), len(sphere_net(2, 0.1)), len(sphere_net(2, 1.0))
        ([[1.0], [-1.0]], 32, 3)
    """
    check_int("s", s, low=1)
    check_number("eps", eps, low=0, low_open=True)
    if s == 1:
        return np.array([[1.0], [-1.0]])
    if s == 2:
        n = _angles(eps)
        angles = 2 * np.pi * np.arange(n) / n
        return np.column_stack([np.cos(angles), np.sin(angles)])
    if eps >= 2:  # any point is within 2 of all others
        return np.eye(1, s)
    parts = []
    for angle, chord in _rings(s, eps):
        below = sphere_net(s - 1, chord)
        parts.append(np.column_stack([np.full(len(below), math.cos(angle)), math.sin(angle) * below]))
    return np.concatenate(parts)


def ball_net(s: int, eps: float) -> Array:
    """Points of the unit ball in ``R^s`` such that every other is within ``eps`` of one.

    Shells ``1 - h, 1 - 3 h, …`` with ``h = eps/√2``, and the origin for what is left within. A vector of length ``t``
    within ``h`` of a shell's radius ``r`` is at most ``√(h² + t r c²)`` from its net of covering radius ``c``.

    Args:
        s: dimension, at least 1.
        eps: covering radius, > 0.

    Returns:
        Shape ``(K, s)``; shells from the outermost in, then the origin where it is needed.

    Example:
        >>> ball_net(1, 0.5).round(3).tolist()
        [[0.5], [-0.5]]
        >>> ball_net(2, 1.0).tolist()
        [[0.0, 0.0]]
    """
    check_int("s", s, low=1)
    check_number("eps", eps, low=0, low_open=True)
    shells, left = _shells(s, eps)
    parts = [r * sphere_net(s, chord if s > 1 else eps) for r, chord in shells]
    if left > 1e-12:
        parts.append(np.zeros((1, s)))
    return np.concatenate(parts)


def count_net(s: int, eps: float, ball: bool = False) -> int:
    """How many points the net of the unit sphere, or of the unit ball, has.

    Example:
        >>> count_net(2, 0.1), count_net(3, 0.1) == len(sphere_net(3, 0.1))
        (32, True)
    """
    if ball:
        shells, left = _shells(s, eps)
        return sum(count_net(s, chord) for _, chord in shells) + (left > 1e-12)
    if s == 1:
        return 2
    if s == 2:
        return _angles(eps)
    if eps >= 2:
        return 1
    return sum(count_net(s - 1, chord) for _, chord in _rings(s, eps))


def _angles(eps: float) -> int:
    # The small number keeps exact ratios, such as a third of the circle for eps = 1, from being rounded up.
    return 1 if eps >= 2 else max(1, math.ceil(2 * math.pi / (4 * math.asin(eps / 2)) - 1e-9))


def _rings(s: int, eps: float) -> list[tuple[float, float]]:
    """Angles of the rings of a sphere in ``R^s``, each with the covering radius of the net on it."""
    share = eps / math.sqrt(s - 1)
    count = max(1, math.ceil(math.pi / (4 * math.asin(min(share / 2, 1.0))) - 1e-9))
    half = math.pi / (2 * count)
    rest = eps**2 - (2 * math.sin(half / 2)) ** 2
    found = []
    for i in range(count):
        low, high = 2 * i * half, 2 * (i + 1) * half
        widest = 1.0 if low <= math.pi / 2 <= high else max(math.sin(low), math.sin(high))
        found.append((low + half, math.sqrt(rest / (math.sin(low + half) * widest))))
    return found


def _shells(s: int, eps: float) -> tuple[list[tuple[float, float]], float]:
    """Radii of the shells of a ball, each with the covering radius of its unit sphere, and the radius left within."""
    # On a line there is nothing but the radius to cover.
    half = eps if s == 1 else eps / math.sqrt(2)
    found, outer = [], 1.0
    while outer > eps * (1 + 1e-12):
        r = max(outer - half, 1e-9)
        found.append((r, math.sqrt((eps**2 - half**2) / (r * outer))))
        outer -= 2 * half
    return found, outer
