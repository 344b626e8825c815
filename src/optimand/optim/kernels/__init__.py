"""Update rules as element-wise formulas: one plain function, several execution paths, the same results.

An update rule is a function of one element, written once and used by every path (compiled CPU kernel, blocks of
tensors, single tensors, ``torch.compile``)::

    from optimand.optim.kernels import Kernel, sign

    def lion(p, g, exp_avg, lr, beta1, one_minus_beta1, beta2, one_minus_beta2):
        c = beta1 * exp_avg + one_minus_beta1 * g
        return p - lr * sign(c), beta2 * exp_avg + one_minus_beta2 * g

    LION = Kernel(lion, states=("exp_avg",))

Rules for a formula:

* Arguments: the parameter, the gradient, the states, then the scalars (in this order, positional); it returns the
  new parameter and the new states as a tuple.
* It may use ``+ - * /``, comparisons, local names and the functions exported here (``sign``, ``where``, ``sqrt``,
  ``ratio``, ``exp``, ``log``, ``tanh``, ``absolute``, ``maximum``, ``minimum``, ``clamp``) or other formulas' helper
  functions written under the same rules. No ``if`` on an element: use ``where``.
* A literal is written ``like(x, 0.5)``: the constant in the precision of ``x``. A bare literal would lift float32
  arithmetic to float64, and the compiler refuses that.
* ``ratio(a, b, floor)`` is ``a / b`` for ``b >= floor >= 0``, and 0 where ``b`` is 0.
* A scalar that varies (learning rate, ``beta ** t``) is an argument: it travels in a table and never recompiles.
  Every tensor may have its own row of scalars.

A function that is itself a parameter of the rule is named in ``functions``; the formula calls it by that name::

    def lion_k(p, g, exp_avg, lr, decay, beta1, ..., k0, k1):
        return p * decay + lr * kappa(..., k0, k1), ...

    Kernel(lion_k, states=("exp_avg",), functions={"kappa": huber})

An optimizer derives from :class:`optimand.optim.base.ElementwiseOptimizer`, names its kernel and computes the
scalars; it inherits everything else. :meth:`Kernel.launch` runs a kernel on lists of CPU tensors directly.

Kernels are specialised by dtype, compiled by Numba when first needed and kept as machine code in a cache folder
(``$OPTIMAND_CACHE``, else ``$XDG_CACHE_HOME/optimand``, else ``~/.cache/optimand``). A process that finds its
kernels there does not even import Numba.
"""

from __future__ import annotations

from .elementwise import absolute, clamp, exp, like, log, maximum, minimum, ratio, sign, sqrt, tanh, where
from .kernel import Kernel

__all__ = [
    "Kernel",
    "absolute",
    "clamp",
    "exp",
    "like",
    "log",
    "maximum",
    "minimum",
    "ratio",
    "sign",
    "sqrt",
    "tanh",
    "where",
]
