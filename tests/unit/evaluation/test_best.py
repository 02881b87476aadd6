"""The best photo of a group: kept, then pixels, sharpness, size."""

from resight.evaluation.best import Candidate, best_photo


def candidate(id_: int, pixels: int, sharpness: float | None, size: int = 1) -> Candidate:
    return Candidate(id_, f"content-{id_}", pixels, sharpness, size)


def test_resolution_comes_first() -> None:
    assert best_photo([candidate(1, 1000, 900.0), candidate(2, 4000, 90.0)], {}) == 2


def test_of_much_the_same_resolution_the_sharpest_is_the_best() -> None:
    assert best_photo([candidate(1, 1000, 10.0), candidate(2, 900, 90.0)], {}) == 2


def test_of_much_the_same_sharpness_the_largest_file_is_the_best() -> None:
    group = [candidate(1, 1000, 100.0, 5), candidate(2, 1000, 90.0, 6), candidate(3, 1000, 1.0, 9)]
    assert best_photo(group, {}) == 2


def test_the_first_of_equal_photos_is_the_best() -> None:
    assert best_photo([candidate(2, 10, None), candidate(1, 10, None)], {}) == 1


def test_sharpness_may_be_unknown() -> None:
    assert best_photo([candidate(1, 10, None, 9), candidate(2, 10, 5.0, 1)], {}) == 2
    assert best_photo([candidate(1, 0, None, 1), candidate(2, 0, None, 2)], {}) == 2


def test_the_photo_that_was_kept_last_is_the_best() -> None:
    group = [candidate(1, 4000, 90.0), candidate(2, 10, 1.0), candidate(3, 10, 1.0)]
    assert best_photo(group, {"content-2": "2026-01-02", "content-3": "2026-01-01"}) == 2
    assert best_photo(group, {"content-9": "2026-01-02"}) == 1
