"""The optimizers as methods of the family ``training``: importing this package registers them."""

from .. import lion_k as lion_k
from . import elementwise as elementwise
from . import low_bit as low_bit
from . import low_rank as low_rank
from .elementwise import signum

__all__ = ["signum"]
