"""What a remote shell is given arrives as it was, and what login scripts print stays out of the answer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroflow.cluster.ssh.command import RemoteCommand, quoted, quoted_line
from neuroflow.cluster.transport import KEPT_VARIABLES, scrubbed

HOSTILE = ["a b", "it's", '"', "$HOME", "`id`", "!x", "a!b!", "!", "\\", "*", "; id", "a\nb", "", "-n", "é", "#x", "~"]
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_word_arrives_as_it_was(shell: str) -> None:
    line = quoted_line([sys.executable, "-c", ECHO, *HOSTILE])
    assert json.loads(subprocess.check_output([shell, "-c", line])) == HOSTILE


@settings(max_examples=60)
@given(word=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_word_arrives_as_it_was(word: str) -> None:
    assert subprocess.check_output(["sh", "-c", f"printf %s {quoted(word)}"]).decode() == word


def test_an_exclamation_mark_never_stands_between_quotes() -> None:
    # csh replaces it there, too.
    assert quoted("it is!so") == "'it is'\\!so"


def test_the_answer_begins_behind_the_mark() -> None:
    command = RemoteCommand(("squeue",), 5, mark="mark-1")
    raw = b"Welcome to mark-\nno newline at the end mark-1 4711\nid|name\n"
    assert command.stdout(raw) == b"id|name\n"
    assert command.process_id(raw) == 4711
    assert command.stderr(b"module: warning\nmark-1\nsqueue: error\n") == b"squeue: error\n"


@pytest.mark.parametrize("raw", [b"", b"This account is not available.\n", b"mark-1", b"mark-1 47"])
def test_without_the_whole_mark_nothing_was_started(raw: bytes) -> None:
    command = RemoteCommand(("squeue",), 5, mark="mark-1")
    assert command.stdout(raw) is None
    assert command.process_id(raw) is None
    assert command.stderr(raw) == raw


def test_both_transports_keep_the_same_variables() -> None:
    names = ["PATH", "LC_ALL", "MODULES_CMD", "SBATCH_QOS", "SLURM_CONF", "SLURM_CLUSTERS", "APPTAINER_BIND", "MY_PATH"]
    script = f"for name in {' '.join(names)}; do case $name in {KEPT_VARIABLES}) echo $name ;; esac; done"
    kept = subprocess.check_output(["bash", "-c", script], text=True).split()
    assert kept == list(scrubbed(dict.fromkeys(names, "x"))) == ["PATH", "LC_ALL", "MODULES_CMD", "SLURM_CONF"]
