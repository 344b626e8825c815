"""Claims of papers that are checked without training: mathematics, memory, errors. Importing this registers them."""

from . import apollo as apollo
from . import blockwise_8bit as blockwise_8bit
from . import frugal as frugal
from . import lion_k as lion_k
