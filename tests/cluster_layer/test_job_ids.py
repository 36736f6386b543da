"""Job ids of arrays are taken apart, and their ranges expanded, as far as SLURM lets them be read."""

from __future__ import annotations

import pytest

from neuroflow.cluster.job_ids import MAX_ELEMENTS, array_index, base_id, job_ids


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("605_[4-7%2]", [4, 5, 6, 7]),
        ("605_[1-9:4]", [1, 5, 9]),
        ("605_[1,3,5-7]", [1, 3, 5, 6, 7]),
        ("605_[3]", [3]),
        ("605_[1,3,9...]", [1, 3]),  # it may have been 9, or 90
        ("605_[1,3-5,141-14...]", [1, 3, 4, 5]),
        ("605_[...]", []),
        ("605_[7-4]", []),
        ("605_[1-9:0]", list(range(1, 10))),
    ],
)
def test_ranges_stand_for_their_elements(text: str, indexes: list[int]) -> None:
    assert job_ids(text) == tuple(f"605_{index}" for index in indexes)


@pytest.mark.parametrize("text", ["605", "605_1"])
def test_a_plain_id_stands_for_itself(text: str) -> None:
    assert job_ids(text) == (text,)


@pytest.mark.parametrize(
    "text", ["", "a", "605_", "605_[x]", "605_[1-]", "605_[1,,2]", "605_[1", "605+0", "-1", "²", "605_[1-2][3]", "6 "]
)
def test_what_is_no_id_stands_for_nothing(text: str) -> None:
    assert job_ids(text) == ()


def test_the_expansion_is_bounded() -> None:
    assert len(job_ids("605_[0-999999999]")) == MAX_ELEMENTS


@pytest.mark.parametrize(("job_id", "base", "index"), [("605_12", "605", 12), ("605", "605", None)])
def test_an_element_knows_its_array(job_id: str, base: str, index: int | None) -> None:
    assert (base_id(job_id), array_index(job_id)) == (base, index)
