"""Whatever form a matrix comes in, the solvers see the same one; what is no matrix is refused by name."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator

from optimand.numerical.linear_systems import PreparedMatrix, laplacian, prepare, sor


def dense(seed: int, n: int, density: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, n)) * (rng.random((n, n)) < density)
    return matrix - np.diag(np.diag(matrix)) + np.diag(1 + rng.random(n))


def shuffled(matrix: np.ndarray) -> sp.csr_matrix:
    """CSR with the entries of each row in reverse order and each split into two equal halves."""
    indptr, indices, data = [0], [], []
    for row in matrix:
        columns = np.flatnonzero(row)[::-1]
        indices += [*columns, *columns]
        data += [*(row[columns] / 2)] * 2
        indptr.append(len(indices))
    return sp.csr_matrix((np.array(data), np.array(indices), np.array(indptr)), shape=matrix.shape)


FORMS = {
    "dense": np.asarray,
    "lists": lambda a: a.tolist(),
    "Fortran order": np.asfortranarray,
    "float32": lambda a: a.astype(np.float32),
    "long double": lambda a: a.astype(np.longdouble),
    "csr_matrix": sp.csr_matrix,
    "csr_array": sp.csr_array,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "lil": sp.lil_array,
    "dia": sp.dia_array,
    "bsr": sp.bsr_array,
    "unsorted, repeated": shuffled,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_mean_the_same(form: str) -> None:
    matrix = dense(3, 9).astype(np.float32).astype(float)
    given = FORMS[form](matrix)
    found = PreparedMatrix(given)
    assert np.allclose(found.to_csr().toarray(), matrix, rtol=1e-15)
    assert np.allclose(found.diagonal, np.diag(matrix), rtol=1e-15)


def test_integers_and_booleans() -> None:
    assert PreparedMatrix(np.array([[2, 1], [0, 3]])).to_csr().toarray().tolist() == [[2, 1], [0, 3]]
    assert PreparedMatrix(np.eye(2, dtype=bool)).diagonal.tolist() == [1, 1]


def test_half_precision() -> None:
    """A dtype that SciPy's sparse arrays do not take."""
    assert PreparedMatrix(np.array([[2, 1], [0, 3]], dtype=np.float16)).to_csr().toarray().tolist() == [[2, 1], [0, 3]]


def test_64_bit_indices() -> None:
    matrix = sp.csr_array(dense(1, 6))
    matrix.indptr, matrix.indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    assert np.array_equal(PreparedMatrix(matrix).to_csr().toarray(), matrix.toarray())


def test_flags_that_lie_about_the_order() -> None:
    """A matrix whose arrays were changed after SciPy looked at them."""
    matrix = sp.csr_array(np.array([[2.0, 1.0], [1.0, 3.0]]))
    assert matrix.has_sorted_indices
    matrix.indices[:2], matrix.data[:2] = [1, 0], [1.0, 2.0]
    assert PreparedMatrix(matrix).to_csr().toarray().tolist() == [[2, 1], [1, 3]]


def test_the_given_matrix_is_not_changed() -> None:
    matrix = shuffled(dense(2, 7))
    before = matrix.indices.copy(), matrix.data.copy()
    sor(matrix, np.ones(7), maxiter=3)
    assert np.array_equal(matrix.indices, before[0])
    assert np.array_equal(matrix.data, before[1])


def test_spare_room_behind_the_entries() -> None:
    matrix = sp.csr_array(np.array([[2.0, 1.0], [1.0, 3.0]]))
    longer = sp.csr_array((2, 2))
    longer.indptr = matrix.indptr
    longer.indices = np.append(matrix.indices, [7, 7]).astype(np.int32)
    longer.data = np.append(matrix.data, [np.nan, 0.0])
    assert PreparedMatrix(longer).to_csr().toarray().tolist() == [[2, 1], [1, 3]]


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_shifted_residual(seed: int, n: int, density: float) -> None:
    matrix = dense(seed, n, density)
    rng = np.random.default_rng(seed)
    x, b, c = rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal()
    base = PreparedMatrix(sp.coo_array(matrix))
    moved = base.shifted(3.0).shifted(c)
    assert np.allclose(moved.to_csr().toarray(), matrix + c * np.eye(n))
    r, norm = moved.residual(b, x)
    assert np.allclose(r, b - matrix @ x - c * x)
    assert norm == pytest.approx(np.linalg.norm(r))


def test_a_shift_shares_the_arrays() -> None:
    base = prepare(laplacian(30))
    moved = base.shifted(0.5)
    assert np.shares_memory(base.data, moved.data)
    assert np.shares_memory(base.indices, moved.indices)
    assert moved.halves()[1] is base.halves()[1]
    assert prepare(moved) is moved


def test_pickling() -> None:
    moved = pickle.loads(pickle.dumps(prepare(laplacian(4)).shifted(0.5)))
    assert np.array_equal(moved.to_csr().toarray(), laplacian(4).toarray() + 0.5 * np.eye(16))


def test_a_shift_can_mend_a_missing_diagonal() -> None:
    matrix = PreparedMatrix(sp.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])))
    with pytest.raises(ValueError, match="no zero on its diagonal"):
        sor(matrix, np.ones(2))
    assert sor(matrix.shifted(3.0), np.array([4.0, 4.0])).x == pytest.approx([1, 1])


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), flaw=st.booleans())
@settings(max_examples=60, deadline=None)
def test_symmetry(seed: int, n: int, flaw: bool) -> None:
    matrix = dense(seed, n)
    matrix = matrix + matrix.T
    if flaw and n > 1:
        i, j = np.random.default_rng(seed).choice(n, 2, replace=False)
        matrix[i, j] += 0.1
        with pytest.raises(ValueError, match="must be symmetric"):
            PreparedMatrix(matrix).require_symmetric()
    else:
        PreparedMatrix(matrix).require_symmetric()


def test_symmetric_with_a_stored_zero() -> None:
    rows, columns, values = [0, 1, 0], [0, 1, 1], [1.0, 1.0, 0.0]
    PreparedMatrix(sp.csr_array((values, (rows, columns)), shape=(2, 2))).require_symmetric()


@pytest.mark.parametrize(
    ("matrix", "error", "words"),
    [
        (np.ones((2, 3)), ValueError, r"A must be square, got shape \(2, 3\)"),
        (np.ones(4), ValueError, "A must be square"),
        (np.ones((0, 0)), ValueError, "at least one row"),
        (np.array([[1.0, np.nan], [0, 1]]), ValueError, "A must be finite"),
        (sp.csr_array(np.array([[1.0, np.inf], [0, 1]])), ValueError, "A must be finite"),
        (np.eye(2) * 1j, TypeError, "A must be real, got dtype complex128"),
        (np.array([["a"]]), TypeError, "A must be real"),
        (LinearOperator((2, 2), matvec=lambda v: v), TypeError, "whose entries can be read"),
        (lambda v: v, TypeError, "A must be a dense or sparse matrix"),
        (None, TypeError, "A must be a dense or sparse matrix"),
    ],
)
def test_refused(matrix: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sor(matrix, np.ones(2))


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_indices_outside_of_the_matrix(index: int) -> None:
    matrix = sp.csr_array(np.eye(2))
    matrix.indices[0] = index
    with pytest.raises(ValueError, match="column indices in"):
        PreparedMatrix(matrix)


@pytest.mark.parametrize("pointers", [[0, 2, 1], [1, 1, 2], [0, 1, 9]])
def test_pointers_that_do_not_rise(pointers: list[int]) -> None:
    matrix = sp.csr_array(np.eye(2))
    matrix.indptr = np.array(pointers, dtype=np.int32)
    with pytest.raises(ValueError, match="row pointers"):
        PreparedMatrix(matrix)


def test_a_shift_must_be_a_finite_number() -> None:
    matrix = PreparedMatrix(np.eye(2))
    with pytest.raises(ValueError, match="c must be in"):
        matrix.shifted(np.nan)
    with pytest.raises(TypeError, match="c must be a number"):
        matrix.shifted("1")  # type: ignore[arg-type]
