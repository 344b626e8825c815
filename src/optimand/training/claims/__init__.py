"""Claims of papers that are checked by training networks; importing this package registers them."""

from . import apollo as apollo
from . import blockwise_8bit as blockwise_8bit
from . import exadam as exadam
from . import frugal as frugal
from . import lion as lion
from . import lion_k as lion_k
