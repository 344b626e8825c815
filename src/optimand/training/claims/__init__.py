"""Claims of papers that are checked by training networks; importing this package registers them."""

from . import exadam as exadam
from . import lion as lion
from . import lion_k as lion_k
