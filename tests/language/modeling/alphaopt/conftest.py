"""One sandbox for all tests of the folder; programs with the same text run once."""

import pytest

from optimand.language.modeling.alphaopt.running import Runner, sandbox_runner


@pytest.fixture(scope="session")
def sandboxed():
    pytest.importorskip("pyscipopt")
    runner, sandbox = sandbox_runner(workers=1)
    yield runner
    sandbox.close()


@pytest.fixture
def runner(sandboxed):
    """A fresh runner, so that counts start at zero, over the shared store of results."""
    return Runner(sandboxed.execution)
