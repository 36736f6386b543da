"""`neuroflow logs`: the group of commands that show what was written, and by default that of a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.log_audit_command import audit_command
from neuroflow.cli.log_run_command import run_command
from neuroflow.cli.log_service_command import service_command
from neuroflow.cli.log_workflow_command import workflow_command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_DEFAULT = "run"


class LogsGroup(click.Group):
    """Takes `logs 12` for `logs run 12`, and says what was meant by a name that it doesn't know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name before a run's number or its options."""
        if args and args[0] not in ctx.help_option_names and re.match(r"\d|-", args[0]):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            ctx.fail(self._guess(ctx, name))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands, and the newest runs."""
        from neuroflow.cli.completions import newest_runs

        return [*super().shell_complete(ctx, incomplete), *newest_runs(ctx, incomplete)]

    def _guess(self, ctx: click.Context, name: str) -> str:
        import difflib

        from neuroflow.cli.output import escaped

        shown = escaped(name)
        if name.startswith(("sub-", "ses-")):
            return f"'{shown}' is no run's number. Did you mean `neuroflow logs audit {shown}`?"
        names = self.list_commands(ctx)
        if name in ("worker", "beat", "cli", "up", "redis"):
            return f"'{shown}' is a service. Did you mean `neuroflow logs service {name}`?"
        near = difflib.get_close_matches(name, names, 1)
        guess = f"Did you mean `neuroflow logs {near[0]}`? " if near else ""
        return f"no command and no run's number: '{shown}'. {guess}There are: {', '.join(names)}, or a run's number."


@click.group(
    "logs",
    cls=LogsGroup,
    epilog=examples(
        "neuroflow logs 12                      # what the tool of run 12 wrote",
        "neuroflow logs 12 --follow             # the same, until the run has ended",
        "neuroflow logs run 12 --crash          # its crash files",
        "neuroflow logs run 12 --command        # how to repeat it by hand",
        "neuroflow logs service worker --since 2h --level warning",
        "neuroflow logs audit sub-01            # who decided what about a subject",
    ),
)
def logs_command() -> None:
    """Show what runs, workflow runs and services wrote, and who changed what.

    `neuroflow logs 12` is short for `neuroflow logs run 12`.
    """


for _command in (run_command, workflow_command, service_command, audit_command):
    logs_command.add_command(_command)
