"""Completion, in the shells themselves: what is offered while someone types."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner

from neuroflow.cli.completion_command import SHELLS, VARIABLE, standard_place
from neuroflow.cli.completions import equip, suggestions
from neuroflow.cli.main import cli
from neuroflow.config import NeuroflowConfig
from neuroflow.core.glance import glance
from tests.cli.test_commands import Installation
from tests.support.require import require
from tests.support.states import add_session, end_run, open_run

CHECKOUT = Path(__file__).resolve().parents[2]
# bash: what its completion function gives for the words of a line; the cursor is at its end.
BASH = """
source <(neuroflow completion bash)
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1)) COMP_LINE={line} COMP_POINT=${{#COMP_LINE}}
_neuroflow_completion neuroflow "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# zsh: its own completion system in a terminal of its own; what it would list is taken from compadd.
ZSH = """
autoload -Uz compinit && compinit -u -d {folder}/zcompdump
compdef() {{ :; }}
source <(neuroflow completion zsh)
compadd() {{ print -rl -- "${{(@)completions}}"; }}
_describe() {{ print -rl -- "${{(@)completions_with_descriptions%%:*}}"; }}
words=({words}) CURRENT={count}
_neuroflow_completion
"""
FISH = "neuroflow completion fish | source; complete --do-complete {line}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation with three subjects, and a program `neuroflow` that finds it."""
    folder = tmp_path_factory.mktemp("study")
    installation = Installation(folder)
    installation.make_database()
    with installation.state() as state:
        for subject, session in (("0041", "a"), ("0042", "base"), ("0042", "month6"), ("17", "a")):
            open_run(state, add_session(state, subject, session))
    (folder / "bin").mkdir()
    program = folder / "bin" / "neuroflow"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neuroflow.cli.main "$@"\n')
    program.chmod(0o755)
    return installation


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def offered(shell: str, line: str, folder: Path) -> list[str]:
    """Let a shell complete a line in a folder; standard error must stay empty, as it would stand in the line."""
    require(shell, shutil.which(shell) is not None, f"apt-get install {shell}")
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
        words=" ".join(map(quoted, words)), count=len(words), line=quoted(line), folder=quoted(str(folder))
    )
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(CHECKOUT),
        "TERM": "dumb",
    }
    command = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}
    answer = subprocess.run(
        [*command[shell], script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.stderr == ""
    return sorted(row.split("\t")[0] for row in answer.stdout.splitlines() if row)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
class TestInTheShell:
    def test_commands_subjects_and_their_sessions_are_offered(self, shell: str, study: Installation) -> None:
        assert offered(shell, "neuroflow subject sh", study.folder) == ["show"]
        assert offered(shell, "neuroflow session show sub-0", study.folder) == ["sub-0041", "sub-0042"]
        assert offered(shell, "neuroflow session show 0042 ", study.folder) == ["ses-base", "ses-month6"]

    def test_without_a_configuration_nothing_is_offered_and_nothing_is_said(
        self, shell: str, study: Installation, tmp_path: Path
    ) -> None:
        shutil.copytree(study.folder / "bin", tmp_path / "bin")
        assert offered(shell, "neuroflow session show sub-0", tmp_path) == []


@pytest.mark.slow
def test_bash_splits_at_an_equals_sign(study: Installation) -> None:
    require("bash", shutil.which("bash") is not None, "apt-get install bash")
    assert offered("bash", "neuroflow runs list --subject = sub-0", study.folder) == ["sub-0041", "sub-0042"]


class Typed:
    """What is offered for a word, without a shell around it."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def __call__(self, *words: str, config: Path | None = None) -> list[str]:
        equip(cli)
        completion = click.shell_completion.BashComplete(cli, {}, "neuroflow", VARIABLE)
        arguments = ["--config", str(config or self._installation.config), *words[:-1]]
        return [str(item.value) for item in completion.get_completions(arguments, words[-1])]


@pytest.fixture
def typed(study: Installation) -> Typed:
    return Typed(study)


def test_a_label_is_offered_as_it_was_begun(typed: Typed) -> None:
    assert typed("subject", "show", "") == ["sub-0041", "sub-0042", "sub-17"]
    assert typed("subject", "show", "su") == ["sub-0041", "sub-0042", "sub-17"]
    assert typed("subject", "show", "00") == ["0041", "0042"]
    assert typed("subject", "show", "sub-1") == ["sub-17"]
    assert typed("subject", "show", "sub-x%") == []


def test_sessions_of_nobody_and_of_a_subject(typed: Typed) -> None:
    assert typed("runs", "list", "--session", "ses-") == ["ses-a", "ses-base", "ses-month6"]
    assert typed("session", "rerun", "17", "") == ["ses-a"]
    assert typed("session", "rerun", "99", "") == []


def test_runs_are_offered_newest_first_with_what_they_are(typed: Typed, study: Installation) -> None:
    assert typed("runs", "show", "") == ["4", "3", "2", "1"]
    assert typed("recovery", "retry", "1", "3") == ["3"]
    assert typed("logs", "x") == []
    with glance(NeuroflowConfig.find_and_load(study.config).database_url()) as look:
        (run,) = look.runs("4", limit=5)
    assert (run.pipeline, run.scope, run.status) == ("bids_conversion", "sub-17/ses-a", "pending")


def test_why_offers_what_is_not_named_yet(typed: Typed) -> None:
    pipelines = ["bids_conversion", "qsiparc", "qsiprep", "qsirecon"]
    assert typed("why", "s") == ["sub-0041", "sub-0042", "sub-17"]
    assert typed("why", "sub-17", "") == ["ses-a", *pipelines]
    assert typed("why", "0042", "ses-m") == ["ses-month6"]
    assert typed("why", "sub-17", "ses-a", "q") == ["qsiparc", "qsiprep", "qsirecon"]
    assert typed("why", "sub-17", "a", "") == pipelines
    assert typed("why", "qsiprep", "sub-1") == ["sub-17"]
    assert typed("why", "sub-17", "qsiprep", "") == ["ses-a"]
    assert typed("why", "sub-17", "ses-a", "qsiprep", "") == []


def test_logs_offer_their_commands_and_the_newest_runs(typed: Typed) -> None:
    assert typed("logs", "") == ["audit", "run", "service", "workflow", "4", "3", "2", "1"]
    assert typed("logs", "3") == ["3"]
    assert typed("logs", "run", "3") == ["3"]
    assert typed("logs", "audit", "sub-17", "") == ["ses-a"]


def test_what_failed_alike_is_offered_by_its_signature_and_by_its_runs(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.make_database()
    with installation.state() as state:
        for label in ("a", "b"):
            end_run(state, open_run(state, add_session(state, "01", label)).id, success=False)
        end_run(state, open_run(state, add_session(state, "01", "c")).id)
        state.resolve_run(2, resolution="no scan", actor="ada")
    signature = "3f9a0c12de"
    with closing(sqlite3.connect(tmp_path / "state" / "neuroflow.db")) as database, database:
        database.execute("UPDATE pipeline_runs SET signature = ? WHERE status = 'failed'", (signature,))
    typed = Typed(installation)
    assert typed("recovery", "show", "") == [signature, "2", "1"]
    assert typed("recovery", "show", signature[:4]) == [signature]
    assert typed("recovery", "list", "--signature", "") == [signature]


def test_words_of_options(typed: Typed) -> None:
    assert typed("status", "--status", "ru") == ["running"]
    assert typed("runs", "priority", "3", "--set", "") == ["high", "normal", "low"]
    assert typed("workflow", "run", "--stage", "d") == ["discovery"]
    assert typed("runs", "retry", "--class", "t") == ["timeout"]


def test_names_and_statuses(typed: Typed) -> None:
    assert typed("pipeline", "show", "qsir") == ["qsirecon"]
    assert typed("containers", "verify", "qsiprep", "b") == ["bids_conversion"]
    assert typed("runs", "list", "--status", "can") == ["cancelled"]
    assert typed("session", "list", "--status", "") == ["settling", "ready", "invalid", "excluded"]


def test_of_many_subjects_the_next_character_is_offered(tmp_path: Path) -> None:
    # A shell inserts what all candidates share, so the first hundred of them would not do.
    installation = Installation(tmp_path)
    installation.make_database()
    with closing(sqlite3.connect(tmp_path / "state" / "neuroflow.db")) as database, database:
        database.executemany(
            "INSERT INTO subjects (label, created_at) VALUES (?, 0)", [(f"1{number:04}",) for number in range(3000)]
        )
    typed = Typed(installation)
    assert typed("subject", "show", "sub-") == ["sub-10", "sub-11", "sub-12"]
    assert typed("subject", "show", "sub-12") == [f"sub-12{digit}" for digit in range(10)]
    assert len(typed("subject", "show", "sub-110")) == 100
    assert typed("subject", "show", "11011") == ["11011"]


def test_a_broken_configuration_or_database_offers_nothing(typed: Typed, tmp_path: Path) -> None:
    broken = tmp_path / "neuroflow.yaml"
    broken.write_text("paths: [")
    assert typed("subject", "show", "", config=broken) == []
    (tmp_path / "bare").mkdir()
    installation = Installation(tmp_path / "bare")
    assert Typed(installation)("subject", "show", "") == []
    (tmp_path / "bare" / "state").mkdir()
    (tmp_path / "bare" / "state" / "neuroflow.db").write_bytes(b"no database" * 1000)
    assert Typed(installation)("runs", "show", "") == []
    assert suggestions("subject", click.Context(cli), "") == []


@pytest.mark.postgres
def test_a_glance_at_postgres(fresh_postgres: str, tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    with installation.config.open("a") as stream:
        stream.write(f"database:\n  url: {fresh_postgres}\n")
    installation.make_database()
    with installation.state() as state:
        open_run(state, add_session(state, "0042", "base"))
        end_run(state, open_run(state, add_session(state, "0042", "later")).id, success=False)
    with psycopg.connect(fresh_postgres.replace("+psycopg", ""), autocommit=True) as server:
        server.execute("UPDATE pipeline_runs SET signature = '3f9a0c12de' WHERE status = 'failed'")
    typed = Typed(installation)
    assert typed("recovery", "show", "") == ["3f9a0c12de", "2"]
    assert typed("subject", "show", "sub-0") == ["sub-0042"]
    assert typed("session", "show", "0042", "") == ["ses-base", "ses-later"]
    assert typed("runs", "show", "1") == ["1"]


class TestInstalling:
    def run(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, ["completion", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    @pytest.mark.parametrize("shell", SHELLS)
    def test_a_script_is_written_where_its_shell_looks_and_again_without_harm(
        self, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        path = standard_place(shell)
        assert f"wrote {path}" in self.run(shell, "--install")
        assert path.read_text() == self.run(shell)
        assert f"is there already: {path}" in self.run(shell, "--install")
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path], "no file of the shell's own"

    def test_the_shell_of_the_user_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHELL", "/usr/bin/fish")
        assert self.run() == self.run("fish")
        monkeypatch.setenv("SHELL", "/bin/tcsh")
        assert "there is no completion for the shell 'tcsh'; there is for: bash, zsh, fish" in self.run(code=2)

    def test_a_folder_that_can_not_be_written_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
        assert "can't be written: Not a directory" in self.run("bash", "--install", code=2)


def test_a_completion_loads_no_sqlalchemy(study: Installation) -> None:
    code = (
        "import sys\n"
        "from neuroflow.cli.completions import suggestions\n"
        "from neuroflow.cli.main import cli\n"
        "context = cli.make_context('neuroflow', ['--config', sys.argv[1], 'status'], resilient_parsing=True)\n"
        "print(len(suggestions('subject', context, 'sub-')))\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'celery', 'rich', 'pydicom') if name in sys.modules])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(study.config)], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.splitlines() == ["3", "[]"]
