"""The generated pages say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from neuroflow.cli import reference
from neuroflow.config import NeuroflowConfig
from neuroflow.config.describe import describe_keys
from neuroflow.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
STALE = "run `python -m neuroflow.cli.reference docs/`"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all generated pages."""
    folder = tmp_path_factory.mktemp("pages")
    # In a process of its own: click keeps a command's help option as it was first asked for, by whichever test.
    subprocess.run([sys.executable, "-m", "neuroflow.cli.reference", str(folder)], check=True, timeout=60)
    return folder


@pytest.mark.parametrize("page", ["configuration.md", "cli.md", "doctor.md"])
def test_the_generated_page_is_current(page: str, written: Path) -> None:
    assert (ROOT / "docs" / page).read_text() == (written / page).read_text(), STALE


def test_every_key_is_on_the_configuration_page() -> None:
    page = reference.configuration_markdown()
    for info in describe_keys(NeuroflowConfig):
        assert f"| `{info.key}` |" in page
        assert info.description not in ("", "None")


def test_the_command_line_page_has_every_command_and_option() -> None:
    @click.group("tool", help="A tool.")
    def tool() -> None: ...

    @tool.command("show", help="Show a|b.\n\nMore.")
    @click.argument("name")
    @click.option("--all", is_flag=True, help="All of x|y.")
    def show(name: str, all: bool) -> None: ...

    @tool.command("secret", hidden=True)
    def secret() -> None: ...

    page = reference.cli_markdown(tool)
    assert "## tool show\n\n    tool show [OPTIONS] NAME\n\nShow a|b.\n\nMore.\n" in page
    assert "| `--all` | All of x\\|y. |" in page
    assert "secret" not in page


def test_the_generator_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one folder is needed"):
        reference.main([str(tmp_path / "missing")])
