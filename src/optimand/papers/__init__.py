"""What papers say and whether it holds: a folder for each, found by its name.

``<slug>/paper.toml`` is the catalogue's entry, ``CLAIMS`` of ``<slug>/claims.py`` its claims; hyphens of the slug are
underscores in the folder's name. Papers may use every room; no room knows them.
"""

from .catalogue import STATUSES as STATUSES
from .catalogue import Paper as Paper
from .catalogue import claims as claims
from .catalogue import get_paper as get_paper
from .catalogue import listed_claims as listed_claims
from .catalogue import load_papers as load_papers
from .catalogue import search_papers as search_papers
