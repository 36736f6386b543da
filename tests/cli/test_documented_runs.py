"""The command lines of our pages and help texts are run, each on a demo cohort as it was left by `neuroflow demo`."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuroflow.cli.main import cli
from tests.cli.test_commands import Installation
from tests.cli.test_documented_lines import SHOWN_IN_HELP, SHOWN_IN_PAGES
from tests.cli.test_recovery_commands import fail
from tests.support.command_lines import CommandLine, find_problem
from tests.support.states import add_session, open_run

pytestmark = pytest.mark.slow

LACKS = "needs a file or a job of the kind that is shown, which the cohort has not"
# What can't be run here, by the beginning of its arguments or an option, and why.
NOT_RUN = {
    "up": "runs until it is stopped",
    "run": "runs until it is stopped",
    "metrics serve": "runs until it is stopped",
    "--watch": "runs until it is stopped",
    "demo": "made the cohort that all others run on",
    "init": "asks this machine's SLURM, which may be none",
    "services": "writes files for the site's SLURM and systemd",
    "doctor": "looks at the whole machine, which may lack much",
    "containers pull": "fetches large images",
    "containers verify": "needs images",
    "notify test": "needs a target that takes messages",
    "db restore": LACKS,
    "--snapshot": LACKS,
    "--crash": LACKS,
    "--script": LACKS,
    "logs service redis": LACKS,
    "logs service worker --follow": "runs until it is stopped",
    "workflow run": "needs a broker, or carries everything through",
    "workflow cancel": "the one pass has ended",
    "tick": "would take up the work that the cohort has left",
}
# What stands in the pages for something of the reader's own.
STANDS_FOR = {
    **{"NAME": "qsiprep", "LABEL": "0042", "4S156Parcels": "Phantom", "ca102f07b2": "3f9a0c12de"},
    **{"baseline": "01", "ses-baseline": "01", "sub-01/ses-baseline": "sub-01/ses-01", "sub-X": "0042", "ses-Y": "01"},
}
# Of numbers, by the command: one that is open, one that has results, the one pass.
NUMBERS = {
    "runs cancel": {"12": "16"},
    "runs priority": {"12": "16"},
    "runs provenance": {"12": "11"},
    "logs run": {"12": "11"},
    "logs workflow": {"3": "1"},
    "workflow status": {"12": "1"},
}
KEPT = ("state/neuroflow.db", "neuroflow.yaml")  # each line finds them as they were
LISTS = {
    "list.tsv": "participant_id\tsession_id\nsub-0042\tses-01\n",
    "participants.tsv": "participant_id\nsub-01\n",
    "state/logs/neuroflow.log": "",
}
SIGNATURE = "3f9a0c12de"
# The demo makes eleven runs: these are 12 to 15, as in the pages, and 16 waits.
FAILED_RUNS = 4


_OF_ALL_COMMANDS = re.compile(r"^(?:--debug |--verbose |-v |--config \S+ )*")


def why_not_run(line: CommandLine) -> str:
    """Return why a command line isn't run here, nothing when it is."""
    text = _OF_ALL_COMMANDS.sub("", " ".join(line.arguments))
    for beginning, reason in NOT_RUN.items():
        if (
            text == beginning
            or text.startswith(f"{beginning} ")
            or (beginning.startswith("--") and beginning in line.arguments)
        ):
            return reason
    return ""


def lines() -> Iterator[CommandLine]:
    """Return each command line once that is complete and can be run."""
    seen = set()
    for line in [*SHOWN_IN_PAGES, *SHOWN_IN_HELP]:
        is_complete = line.arguments and not find_problem(
            CommandLine(line.place, line.text, line.arguments, is_mention=False), cli
        )
        if line.is_mention and len(line.arguments) == 1:
            continue  # the command is meant, not the line
        is_group = is_complete and len(line.arguments) == 1 and hasattr(cli.commands.get(line.arguments[0]), "commands")
        if is_complete and not is_group and line.arguments not in seen and not why_not_run(line):
            seen.add(line.arguments)
            yield line


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A real demo cohort, and four failed runs beside it that are called as in the pages."""
    folder = tmp_path_factory.mktemp("documented") / "study"
    subprocess.run(
        [sys.executable, "-m", "neuroflow.cli.main", "demo", "--folder", str(folder)],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    installation = Installation.at(folder)
    with installation.state() as state:
        assert len(state.list_runs()) == 11
        for number in range(FAILED_RUNS):
            logs = folder / "state" / "attempts" / f"made-up-{number}"
            fail(state, f"{42 + number:04}", "no scan", SIGNATURE, session="01", folder=logs)
            (logs / "stdout.log").write_text("looking for scans\n")
        open_run(state, add_session(state, "0046", "01"))
    with installation.config.open("a") as stream:
        stream.write("logging:\n  file: state/logs/neuroflow.log\n")
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    for name in KEPT:
        shutil.copy(folder / name, folder / f"{name}.before")
    return installation


@pytest.fixture
def cohort(demo: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """The same cohort for each command: its database as it was, its folder, and a home of its own."""
    monkeypatch.chdir(demo.folder)
    monkeypatch.setenv("HOME", str(demo.folder / "home"))
    for name in KEPT:
        shutil.copy(demo.folder / f"{name}.before", demo.folder / name)
    shutil.rmtree(demo.folder / "made", ignore_errors=True)
    (demo.folder / "made").mkdir()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield demo
    root.handlers[:] = handlers
    root.setLevel(level)


def for_the_cohort(line: CommandLine, cohort: Installation) -> list[str]:
    """Return a line's arguments with the cohort's own names, and its absolute files in a folder that is there."""
    numbers = NUMBERS.get(" ".join(line.arguments[:2]), {})
    words = []
    for word in line.arguments:
        if word.endswith("neuroflow.yaml"):
            word = str(cohort.config)
        elif word.startswith("/") or word == "FILE":
            word = str(cohort.folder / "made" / Path(word).name)
        words.append((STANDS_FOR | numbers).get(word, word))
    # Nothing has failed in the cohort, so that it would ask, and there is no terminal to ask at.
    return [*words, "--yes"] if words[:2] == ["session", "rerun"] else words


@pytest.mark.parametrize("line", list(lines()), ids=lambda line: re.sub(r"[^\w.=-]+", " ", line.text)[:60])
def test_a_documented_line_runs(line: CommandLine, cohort: Installation) -> None:
    result = CliRunner().invoke(cli, for_the_cohort(line, cohort))
    assert result.exit_code == 0, f"{line}\n{result.output}"
    assert "Traceback" not in result.output


def test_what_is_not_run_is_still_documented() -> None:
    shown = [line for line in (*SHOWN_IN_PAGES, *SHOWN_IN_HELP) if why_not_run(line)]
    reasons = {why_not_run(line) for line in shown}
    assert reasons == set(NOT_RUN.values()), "an entry of NOT_RUN that nothing needs"
