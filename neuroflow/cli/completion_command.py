"""`neuroflow completion`: let the shell complete commands, options, subjects and runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "_NEUROFLOW_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
# Below the folder that a variable names, else below another one in the home folder.
# bash: https://github.com/scop/bash-completion#faq; fish: https://fishshell.com/docs/current/completions.html
_PLACES = {
    "bash": ("XDG_DATA_HOME", ".local/share", "bash-completion/completions/neuroflow"),
    "zsh": ("XDG_DATA_HOME", ".local/share", "zsh/site-functions/_neuroflow"),
    "fish": ("XDG_CONFIG_HOME", ".config", "fish/completions/neuroflow.fish"),
}
_NEXT = {
    "bash": "New shells use it where the package bash-completion is installed; elsewhere add this line to ~/.bashrc:\n"
    "  source '{path}'",
    "zsh": "Add this line to ~/.zshrc, before the one with `compinit`, unless the folder is in your fpath already:\n"
    "  fpath=('{folder}' $fpath)\n"
    "Where ~/.zshrc has no such line, add a second one: autoload -Uz compinit && compinit",
    "fish": "New shells use it.",
}


@click.command(
    "completion",
    epilog=examples(
        "neuroflow completion bash --install     # write it where the shell looks for it",
        "neuroflow completion zsh > _neuroflow   # look at it, or put it elsewhere",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", is_flag=True, help="Write it where the shell looks for it, and say where that is.")
@click.pass_context
def completion_command(context: click.Context, shell: str | None, install: bool) -> None:
    """Show or install the script that lets a shell complete commands, options, subjects, sessions and runs.

    Without SHELL it is for the one that the variable SHELL names. Your shell's own settings, such as ~/.bashrc, are
    left as they are; where a line is needed there, it is shown.
    """
    from pathlib import Path

    from neuroflow.errors import UsageError

    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in SHELLS:
        raise UsageError(
            f"there is no completion for the shell '{chosen}'; there is for: {', '.join(SHELLS)}",
            hint="name one of them: neuroflow completion bash",
        )
    script = completion_script(chosen, context.find_root().command)
    if not install:
        click.echo(script, nl=False)
        return
    path = standard_place(chosen)
    click.echo(f"{_write(path, script)} {path}")
    click.echo(_NEXT[chosen].format(path=path, folder=path.parent))


def completion_script(shell: str, program: click.Command) -> str:
    """Return the script, which asks neuroflow at each press of the tabulator key."""
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    kinds = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    completion = kinds[shell](program, {}, "neuroflow", VARIABLE)
    # Not source(): it starts bash to ask for its version, and says so when that fails.
    return completion.source_template % completion.source_vars()


def standard_place(shell: str) -> Path:
    """Return where a shell looks for a user's completions; for zsh, where they are usually put."""
    from pathlib import Path

    variable, folder, name = _PLACES[shell]
    named = os.environ.get(variable, "")
    return (Path(named) if named.startswith("/") else Path.home() / folder) / name


def _write(path: Path, script: str) -> str:
    """Write a script; return what was done."""
    from neuroflow.errors import UsageError

    try:
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == script:
            return "is there already:"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}",
            hint="write it elsewhere: neuroflow completion SHELL > FILE, and let the shell read that file",
        ) from error
    return "wrote"
