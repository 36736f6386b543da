"""The table of releases and the definitions that we ship name the same images."""

from __future__ import annotations

import re

import pytest

from neuroflow.adapters.releases import KNOWN, ToolRelease, known_release
from neuroflow.adapters.versions import qsiprep_options, qsirecon_options
from neuroflow.errors import UsageError
from neuroflow.orchestrator.registry import BUILT_IN

RECOMMENDED = [known_release(pipeline.name, None) for pipeline in BUILT_IN]


@pytest.mark.parametrize("release", RECOMMENDED, ids=lambda release: release.tool)
def test_the_definition_builds_the_recommended_release(release: ToolRelease) -> None:
    text = release.definition.read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^    (VERSION|IMAGE)=(\S+)$", text, re.MULTILINE))
    assert defaults["VERSION"] == release.version
    if "IMAGE" in defaults:
        assert defaults["IMAGE"] == release.reference
    for section in ("%labels", "%test"):
        assert section in text
    assert f"neuroflow.pipeline {release.pipeline}" in text
    assert "--version" in text


def test_the_adapters_know_every_release() -> None:
    for release in KNOWN:
        {"qsiprep": qsiprep_options, "qsirecon": qsirecon_options}.get(release.pipeline, str)(release.version)


def test_a_version_that_is_not_known_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"0\.0\.9 of qsiparc.*0\.1\.2"):
        known_release("qsiparc", "0.0.9")
