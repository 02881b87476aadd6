"""Shared operations on vectors."""

import numpy as np

from resight.vectors import l2_normalize, l2_normalize_rows, signed_power, with_positive_peaks


def test_l2_normalize_leaves_zeros() -> None:
    np.testing.assert_allclose(l2_normalize(np.array([3.0, 4.0])), [0.6, 0.8])
    assert l2_normalize(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_l2_normalize_rows_takes_one_vector_too() -> None:
    rows = np.array([[3, 4], [0, 0]], np.float32)
    np.testing.assert_allclose(l2_normalize_rows(rows), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(l2_normalize_rows(rows[0]), [0.6, 0.8], rtol=1e-6)
    assert l2_normalize_rows(rows).dtype == np.float32


def test_signed_power_keeps_signs() -> None:
    values = np.array([4.0, -9.0, 0.0])
    np.testing.assert_allclose(signed_power(values, 0.5), [2, -3, 0])
    assert signed_power(values, 1) is values


def test_the_largest_value_of_each_column_becomes_positive() -> None:
    vectors = np.array([[1.0, -3.0], [-2.0, 1.0]])
    np.testing.assert_array_equal(with_positive_peaks(vectors), [[-1, 3], [2, -1]])
