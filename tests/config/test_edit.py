"""A value is set in a file's text, and nothing else changes: neither another value nor a single other character."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroflow.config.document import parse_document
from neuroflow.config.edit import set_values
from neuroflow.config.shapes import KeyPath
from neuroflow.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "neuroflow.yaml", *sorted((ROOT / "site-configs").glob("*.yaml"))]
PATH = Path("/etc/neuroflow.yaml")
MEMORY = ("pipelines", "qsiprep", "memory_mb")
VALUES: dict[KeyPath, int] = {MEMORY: 33000, ("pipelines", "qsirecon", "cpus"): 7}


def set_one(text: str, key: tuple[str, ...] = MEMORY, value: int = 33000) -> str:
    return set_values(text, {key: value}, path=PATH)


CHANGES = {
    "a value": (
        "pipelines:\n  qsiprep:\n    memory_mb: 40_000 # enough\n",
        "pipelines:\n  qsiprep:\n    memory_mb: 33000 # enough\n",
    ),
    "a key without a value": (
        "pipelines:\n  qsiprep:\n    memory_mb:   # none\n",
        "pipelines:\n  qsiprep:\n    memory_mb: 33000   # none\n",
    ),
    "behind its like": (
        "pipelines:\n  # first\n  qsiprep:\n    # many\n    cpus: 8 # of 64\n    args: [--x]\n\n# end\n",
        "pipelines:\n  # first\n  qsiprep:\n    # many\n    cpus: 8 # of 64\n    memory_mb: 33000\n    args: [--x]\n"
        "\n# end\n",
    ),
    "a section of comments": (
        "pipelines:\n  qsiprep: # nothing yet\n    # memory_mb: 1\n  qsirecon: {}\n",
        "pipelines:\n  qsiprep: # nothing yet\n    memory_mb: 33000\n    # memory_mb: 1\n  qsirecon: {}\n",
    ),
    "on one line": (
        "pipelines: {qsiprep: {cpus: 4}} # short\n",
        "pipelines: {qsiprep: {memory_mb: 33000, cpus: 4}} # short\n",
    ),
    "an empty mapping": ("pipelines: {}\n", "pipelines: {qsiprep: {memory_mb: 33000}}\n"),
    "a missing pipeline": (
        "pipelines:\n    qsiparc: &a\n        cpus: 1\n",
        "pipelines:\n    qsiprep:\n      memory_mb: 33000\n    qsiparc: &a\n        cpus: 1\n",
    ),
    "a missing section": ("a: 'x'", "a: 'x'\n\npipelines:\n  qsiprep:\n    memory_mb: 33000\n"),
    "Windows' line ends": (
        "a: 1\r\npipelines:\r\n  qsiprep:\r\n    cpus: 1\r\n",
        "a: 1\r\npipelines:\r\n  qsiprep:\r\n    cpus: 1\r\n    memory_mb: 33000\r\n",
    ),
    "a mark at the start": (
        "\ufeffpipelines:\n  qsiprep:\n    memory_mb: 1\n",
        "\ufeffpipelines:\n  qsiprep:\n    memory_mb: 33000\n",
    ),
    "quotes": ("pipelines:\n  qsiprep:\n    memory_mb: 'ä'\n", "pipelines:\n  qsiprep:\n    memory_mb: 33000\n"),
    "an alias": (
        "x: &big 5\npipelines:\n  qsiprep:\n    memory_mb: *big\n",
        "x: &big 5\npipelines:\n  qsiprep:\n    memory_mb: 33000\n",
    ),
    "an anchor of its own": (
        "pipelines:\n  qsiprep:\n    memory_mb: &big 5\n",
        "pipelines:\n  qsiprep:\n    memory_mb: &big 33000\n",
    ),
    "over what is merged in": (
        "x: &x\n  cpus: 1\npipelines:\n  qsiprep:\n    <<: *x\n    args: []\n",
        "x: &x\n  cpus: 1\npipelines:\n  qsiprep:\n    memory_mb: 33000\n    <<: *x\n    args: []\n",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_text_changes_where_the_value_stands_or_belongs(case: str) -> None:
    before, after = CHANGES[case]
    assert set_one(before) == after


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pipelines:\n  qsiprep: &a\n    memory_mb: &big 5\n  qsirecon:\n    memory_mb: *big\n", "an anchor shares it"),
        ("pipelines:\n  qsirecon: &a\n    memory_mb: 5\n  qsiprep: *a\n", "an alias"),
        ("pipelines:\n  qsiprep: &a {memory_mb: 5}\n  qsirecon: *a\n", "an anchor shares it"),
        ("pipelines: [a]\n", "no mapping"),
        ("pipelines: a\n", "no mapping"),
        ("pipelines:\n  qsiprep:\n    memory_mb: [1]\n", "no single value"),
        ("a: 1\n...\n", "other values"),
    ],
)
def test_what_can_not_be_changed_alone_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        set_one(text)
    assert "33000" in str(refused.value.hint)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_real_files_keep_every_line_but_those_of_the_values(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    after = set_values(before, VALUES, path=file)
    found = parse_document(file, after).values["pipelines"]
    assert (found["qsiprep"]["memory_mb"], found["qsirecon"]["cpus"]) == (33000, 7)
    removed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line.startswith("- ")]
    assert all("memory_mb:" in line or "cpus:" in line for line in removed)


LINES = st.lists(
    st.sampled_from(
        [
            *("pipelines:", "pipelines: {}", "pipelines: # all", "x: &x {cpus: 3}", "y: *x", "# at the top", ""),
            *(
                "  qsiprep:",
                "  qsiprep: &q",
                "  qsirecon: *q",
                "  qsiprep: {cpus: 2}",
                "  qsiparc: # none",
                "  # deeper",
            ),
            *(
                "    cpus: 4",
                "    memory_mb: 'a' # b",
                "    <<: *x",
                "    args: [a, '#b']",
                "    memory_mb: &m 4",
                "    # c",
            ),
        ]
    ),
    max_size=9,
)


@given(lines=LINES)
@settings(max_examples=150)
def test_any_file_is_changed_right_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        after = set_one(text)
    except ConfigError:
        return
    assert parse_document(PATH, after).values["pipelines"]["qsiprep"]["memory_mb"] == 33000
    kept = [line for line in lines if line and line not in after.splitlines()]
    assert all("memory_mb" in line or "{" in line for line in kept)


@given(text=st.text(alphabet="ab:-[]{}&*#'\" \n\t<|>?,!%pipelines", max_size=60))
def test_any_text_is_changed_right_or_refused(text: str) -> None:
    try:
        after = set_one(text)
    except ConfigError:
        return
    document = parse_document(PATH, after)
    assert document.values["pipelines"]["qsiprep"]["memory_mb"] == 33000
