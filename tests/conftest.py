"""One thread in each test process: they run side by side, and their networks are small."""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

LONG = ("test_docs.py", "test_reproduce.py", "test_study.py")


def pytest_collection_modifyitems(items):
    """Files that take minutes come first: a worker that began one at the end would let the others wait."""
    items.sort(key=lambda item: item.path.name not in LONG)
