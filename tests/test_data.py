"""The shipped folders are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.data import data_path
from neuroflow.errors import ConfigError


@pytest.mark.parametrize("name", ["slurm", "site-configs", "containers"])
def test_a_checkout_has_them_beside_the_package(name: str) -> None:
    assert data_path(name) == Path(__file__).resolve().parents[1] / name


def test_a_folder_that_is_not_shipped_is_an_error_in_words() -> None:
    with pytest.raises(ConfigError, match="neuroflow's folder 'nosuch' is missing"):
        data_path("nosuch")
