"""A mistyped workflow or atlas is noticed, and what may well be there is not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from neuroflow.adapters.qsirecon_names import unknown_names
from neuroflow.config.execution import QSIReconSettings


def words(**settings: Any) -> list[str]:
    return list(unknown_names(QSIReconSettings(**settings)))


def test_what_is_set_by_default_is_known() -> None:
    assert words() == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recon_spec": "dsi_studio_gq"}, "recon_spec: 'dsi_studio_gq' .* did you mean 'dsi_studio_gqi'"),
        ({"recon_spec": "tortoise"}, "did you mean 'TORTOISE'"),
        ({"recon_spec": "zzz"}, "there are: TORTOISE, amico_noddi"),
        ({"atlases": ["4S156Parcel", "AAL116"]}, "atlases: '4S156Parcel' .* did you mean '4S156Parcels'"),
    ],
)
def test_a_name_that_is_not_known_is_told_with_the_nearest(settings: dict[str, Any], said: str) -> None:
    (line,) = words(**settings)
    assert re.search(said, line)


def test_a_workflow_of_a_later_release_is_none_of_an_earlier_one() -> None:
    assert words(recon_spec="abcd_recon", version="1.2.0") == []
    assert "is no known workflow of QSIRecon 1.1.1" in words(recon_spec="abcd_recon", image="/i/qsirecon-1.1.1.sif")[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"recon_spec": "/specs/own.yaml"},
        {"recon_spec": "own", "program": ("our-recon",)},
        {"atlases": ["Own"], "datasets": {"own": "/atlases"}},
        {"recon_spec": "abcd_recon", "version": "nightly"},
    ],
)
def test_nothing_is_said_of_what_can_not_be_known(settings: dict[str, Any]) -> None:
    assert words(**settings) == []
