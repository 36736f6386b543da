"""A transport that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neuroflow.cluster.transport import CompletedCommand
from neuroflow.errors import CommandError

Answer = CompletedCommand | CommandError


class FakeTransport:
    """Answer commands by the name of their program, and remember them."""

    def __init__(self, **answers: Callable[[tuple[str, ...]], Answer] | Answer | str) -> None:
        self.answers = answers
        self.calls: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], *, timeout: float, input: str | None = None) -> CompletedCommand:
        command = tuple(argv)
        self.calls.append(command)
        program = next(word for word in command if word != "env" and "=" not in word)
        answer = self.answers[program]
        if callable(answer):
            answer = answer(command)
        if isinstance(answer, str):
            answer = CompletedCommand(command, 0, answer, "")
        if isinstance(answer, CommandError):
            raise answer
        return answer

    def programs(self) -> list[str]:
        """Return the programs that were called, in order."""
        return [next(word for word in call if word != "env" and "=" not in word) for call in self.calls]


def ended(exit_code: int, *, stdout: str = "", stderr: str = "") -> CompletedCommand:
    """Return a command's answer."""
    return CompletedCommand(("sbatch",), exit_code, stdout, stderr)


def hung() -> CommandError:
    """Return the error of a command that did not end in time."""
    return CommandError("`squeue` did not end within 150 s", command=("squeue",), exit_code=None)
