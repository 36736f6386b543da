"""Every command line that our pages, help texts and hints show is one that neuroflow understands."""

from __future__ import annotations

import re

import click
import pytest

from neuroflow.cli.main import cli
from tests.support.command_lines import (
    CHECKOUT,
    CommandLine,
    every_command,
    find_problem,
    lines_of_help,
    lines_of_page,
    lines_of_source,
    pages,
)

SHOWN_IN_PAGES = [
    line
    for page in pages()
    for line in lines_of_page(page.read_text(encoding="utf-8"), str(page.relative_to(CHECKOUT)))
]
SHOWN_IN_HELP = [line for path, command in every_command(cli) for line in lines_of_help(command, path)]


def problems(lines: list[CommandLine]) -> list[str]:
    """Return what neuroflow would not understand, with the places."""
    return [f"{line}: {problem}" for line in lines if (problem := find_problem(line, cli))]


def test_the_pages_show_commands_that_exist() -> None:
    assert len(SHOWN_IN_PAGES) > 150
    assert problems(SHOWN_IN_PAGES) == []


def test_help_shows_examples_that_work() -> None:
    assert problems(SHOWN_IN_HELP) == []


def test_messages_and_hints_name_commands_that_exist() -> None:
    sources = sorted((CHECKOUT / "neuroflow").rglob("*.py"))
    lines = [
        line
        for source in sources
        for line in lines_of_source(source.read_text(encoding="utf-8"), str(source.relative_to(CHECKOUT)))
    ]
    assert len(lines) > 80
    assert problems(lines) == []


@pytest.mark.parametrize(("path", "command"), list(every_command(cli)), ids=lambda value: str(value))
def test_every_command_shows_an_example_of_its_own(path: str, command: click.Command) -> None:
    shown = [line.text for line in lines_of_help(command, path)]
    own = path.removeprefix("neuroflow").strip()
    assert shown, f"`{path} --help` shows no example: epilog=examples(...)"
    assert any(re.search(rf"(^| ){re.escape(own)}", text) for text in shown), f"{shown} are none of `{path}`"


class TestFinding:
    def test_a_block_has_prompts_variables_paths_continued_lines_and_comments(self) -> None:
        text = (
            "# Title\n```console\n$ neuroflow status  # all\n"
            "NEUROFLOW_SITE=x /opt/bin/neuroflow \\\n  runs list | head\n"
            "neuroflow says no command\n*/5 * * * * neuroflow tick >/dev/null\n```\n"
        )
        found = [(line.place, line.arguments) for line in lines_of_page(text, "page.md")]
        assert found == [
            ("page.md:3", ("status",)),
            ("page.md:4", ("runs", "list")),
            ("page.md:6", ("says", "no", "command")),
            ("page.md:7", ("tick",)),
        ]

    def test_a_mention_of_two_commands_is_two(self) -> None:
        found = list(lines_of_page("Use `neuroflow runs cancel|retry ID` then.\n", "page.md"))
        assert [line.arguments for line in found] == [("runs", "cancel", "12"), ("runs", "retry", "12")]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("```\nneuroflow sttus\n```", "No such command 'sttus'"),
            ("```\nneuroflow status --jsn\n```", "No such option"),
            ("```\nneuroflow runs show\n```", "Missing argument"),
            ("```\nneuroflow runs list --status complete\n```", "is none of"),
            ("see `neuroflow runs sho`", "No such command 'sho'"),
            ("see `neuroflow runs show --yes`", "No such option"),
        ],
    )
    def test_what_does_not_exist_is_found(self, text: str, problem: str) -> None:
        (line,) = lines_of_page(text + "\n", "page.md")
        assert problem in find_problem(line, cli)

    @pytest.mark.parametrize("text", ["see `neuroflow runs show`", "see `neuroflow runs`", "```\nneuroflow\n```"])
    def test_a_mention_may_leave_arguments_out(self, text: str) -> None:
        assert [find_problem(line, cli) for line in lines_of_page(text + "\n", "page.md")] in ([""], [])
