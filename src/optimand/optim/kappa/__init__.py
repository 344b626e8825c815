"""Kappas: the convex functions K of Lion-K, each with its subgradient, conjugate and constraint set.

With weight decay lambda, Lion-K minimizes f(x) + K*(lambda x)/lambda:

==============  =========================================  =========================================
name            update dK(m)                               effect on the weights x
==============  =========================================  =========================================
``l1``          sign(m)                                    box ``|x_i| <= 1/lambda`` (Lion)
``lp``          sign(m) (abs(m)/‖m‖_p)^(p-1)               ball ``‖x‖_q <= 1/lambda``
``l2``          m/‖m‖_2                                    ball ``‖x‖_2 <= 1/lambda``
``linf``        sign of one largest coordinate             ``‖x‖_1 <= 1/lambda``
``dead_zone``   sign(m) where abs(m) > e                   box and penalty ``e ‖x‖_1``
``top_k``       sign of the k largest coordinates          box and ``‖x‖_1 <= k/lambda``
``huber``       clip(m/e, -1, 1)                           box and ridge ``(e lambda/2) ‖x‖²``
``relativistic`` m/sqrt(m²+e²)                             smooth barrier of the box
``log_cosh``    tanh(a m)                                  entropy barrier of the box
``softmax``     softmax(m)                                 ``x`` in the simplex / lambda
``group_l2``    m_g/‖m_g‖_2                                every group in a ball
``nuclear``     U V^T                                      spectral norm <= 1/lambda (Muon)
``schatten``    U diag(sigma^(p-1)) V^T/‖sigma‖^(p-1)      Schatten-q norm <= 1/lambda
``quadratic``   m                                          penalty ``(lambda/2) ‖x‖²``
``scaled``      s dK(m)                                    radius s/lambda
``sum``         dK1(m) + dK2(m)                            Minkowski sum of the sets
``separable``   a kappa per block                          a set per block
``routed``      a kappa per shape                          a set per parameter
==============  =========================================  =========================================
"""

from __future__ import annotations

from .base import Kappa, Norm
from .combinators import Scaled, Separable, Sum
from .elementwise import L1, DeadZone, Huber, LogCosh, Quadratic, Relativistic
from .matrix import Nuclear, Schatten
from .norms import L2, GroupL2, LInf, Lp, Softmax, TopK
from .registry import get_kappa, kappa_names, register_kappa
from .routed import Routed

__all__ = [
    "L1",
    "L2",
    "DeadZone",
    "GroupL2",
    "Huber",
    "Kappa",
    "LInf",
    "LogCosh",
    "Lp",
    "Norm",
    "Nuclear",
    "Quadratic",
    "Relativistic",
    "Routed",
    "Scaled",
    "Schatten",
    "Separable",
    "Softmax",
    "Sum",
    "TopK",
    "get_kappa",
    "kappa_names",
    "register_kappa",
]
