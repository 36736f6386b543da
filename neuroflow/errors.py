"""The one error tree of neuroflow: each class has an exit code and a default hint.

NeuroflowError                 1   anything that a user can be told in one line
├── ConfigError                2   a configuration file, key or value
├── UsageError                 2   a command line that asks for something impossible
├── NotFoundError              3   a subject, session, run or pipeline that is not there
├── StateError                 4   the database: missing, too old, too new, or busy
│   └── IllegalMoveError       4   a move that the transition table does not know
├── DiscoveryError             5   a DICOM folder that can't be read as one
├── AdapterError               6   a container command that can't be built
│   └── BadInputError          6   inputs that the tool would refuse
├── NotReadyError              8   an installation that doctor's checks found unfit for its first submission
├── NotificationError          9   a message that a target did not take
└── ClusterError               7   SLURM, submitit or a transport
    ├── CommandError           7   an external command that failed or hung
    │   ├── CallBudgetExhausted 7  a command that was not run: too many others were
    │   └── HostUnreachable    7   a command or file of a host that can't be reached, or refuses us
    ├── SubmissionRefused      7   sbatch said no, and the job does not exist
    ├── PlacementError         7   a request that no partition takes
    └── SubmissionUncertain    7   sbatch did not answer, the job may exist
"""

from __future__ import annotations


class NeuroflowError(Exception):
    """Tell a user what happened, with which value, and what to do next."""

    exit_code = 1
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigError(NeuroflowError):
    """Name a configuration file, key path or value that can't be used."""

    exit_code = 2
    hint = "`neuroflow config validate` checks again"


class UsageError(NeuroflowError):
    """Refuse a command line that asks for something impossible."""

    exit_code = 2
    hint = "see `neuroflow COMMAND --help`"


class NotFoundError(NeuroflowError):
    """Name a subject, session, run or pipeline that does not exist."""

    exit_code = 3


class StateError(NeuroflowError):
    """Say what is wrong with the state database."""

    exit_code = 4
    hint = "run `neuroflow db current`, then `neuroflow db upgrade`"


class IllegalMoveError(StateError):
    """Refuse a change of status that the transition table does not list."""

    hint = ""


class DiscoveryError(NeuroflowError):
    """Name a DICOM folder or file that can't be read."""

    exit_code = 5


class AdapterError(NeuroflowError):
    """Say why a container command can't be built."""

    exit_code = 6


class BadInputError(AdapterError):
    """Name inputs that the tool would refuse; a person has to look at them."""


class NotReadyError(NeuroflowError):
    """Name what has to be mended before anything is submitted for the first time."""

    exit_code = 8
    hint = "`neuroflow doctor` tells what mends it; --no-doctor starts all the same"


class NotificationError(NeuroflowError):
    """Say why a target did not take a message; the text holds no secret."""

    exit_code = 9
    hint = "see workflow.notifications of the configuration, then `neuroflow notify test`"


class ClusterError(NeuroflowError):
    """Say what SLURM, submitit or a transport did."""

    exit_code = 7


class CommandError(ClusterError):
    """Carry an external command's arguments, exit code and both output streams."""

    def __init__(
        self,
        message: str,
        *,
        command: tuple[str, ...],
        exit_code: int | None,
        stdout: str = "",
        stderr: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.command = command
        self.returncode = exit_code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def timed_out(self) -> bool:
        """Whether the command was ended by its time limit."""
        return self.returncode is None


class CallBudgetExhausted(CommandError):
    """Report a command that was not run, because the budget of SLURM calls is used up for now."""

    def __init__(self, message: str, *, command: tuple[str, ...], hint: str) -> None:
        super().__init__(message, command=command, exit_code=75, hint=hint)  # EX_TEMPFAIL


class HostUnreachable(CommandError):
    """Report a host that can't be reached, or refuses us: nothing was run there.

    `lasting` tells what only a person can mend, such as an unknown host key, from what may pass by itself.
    """

    def __init__(self, message: str, *, lasting: bool = False, hint: str | None = None) -> None:
        super().__init__(message, command=(), exit_code=255, hint=hint)  # as the program ssh says it
        self.lasting = lasting


class SubmissionRefused(ClusterError):
    """Report that the scheduler refused a job, so that none exists.

    `transient` tells a full queue or a limit (try later) from a wrong account (never). `unreachable` tells a
    controller that did not hear of the request at all: it may be made again at once.
    """

    def __init__(self, message: str, *, transient: bool, unreachable: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient
        self.unreachable = unreachable


class PlacementError(ClusterError):
    """Report that no partition takes a request; `transient` tells one that is closed for now from none at all."""

    def __init__(self, message: str, *, transient: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


class SubmissionUncertain(ClusterError):
    """Report that a submission got no usable answer: the job may or may not exist."""
