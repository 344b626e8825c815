"""What the tests of modeling share: a sandbox with a warm worker."""

import pytest

from optimand.language.modeling.execution import open_sandbox


@pytest.fixture(scope="session")
def solver_sandbox():
    pytest.importorskip("pyscipopt")
    with open_sandbox(workers=1) as sandbox:
        yield sandbox
