"""The sections that say what follows failures: retries, per failure class where a site wants that, and the breaker."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from neuroflow.config.fields import Section
from neuroflow.domain import FailureClass

_ANY = frozenset({"retry", "delay_minutes", "counts", "max_attempts"})
# What can be said of a class. Bad input is the same at the next attempt; what a person cancelled stays so.
ALLOWED_FIELDS: Mapping[FailureClass, frozenset[str]] = {
    **dict.fromkeys(FailureClass, _ANY),
    FailureClass.OUT_OF_MEMORY: _ANY | {"growth"},
    FailureClass.TIMEOUT: _ANY | {"growth"},
    FailureClass.BAD_INPUT: frozenset({"retry"}),
    FailureClass.CANCELLED: frozenset(),
}


class ClassRetry(Section):
    """What follows a failure of one class; anything left out stays as it is built in."""

    retry: bool | None = Field(default=None, description="Whether it is tried again.")
    growth: float | None = Field(
        default=None, gt=1, le=10, description="Factor of the memory (out_of_memory) or the time (timeout)."
    )
    delay_minutes: float | None = Field(
        default=None, ge=0, le=43_200, description="Wait before the next attempt (min)."
    )
    counts: bool | None = Field(default=None, description="Whether such an attempt counts towards max_attempts.")
    max_attempts: int | None = Field(
        default=None, ge=1, description="Instead of max_attempts; of a class that doesn't count: of all attempts."
    )


def _check_classes(classes: Mapping[FailureClass, ClassRetry]) -> None:
    problems = []
    for failure, policy in classes.items():
        allowed = ALLOWED_FIELDS[failure]
        for name in sorted(policy.model_fields_set - allowed):
            where = ", ".join(other for other in FailureClass if name in ALLOWED_FIELDS[other])
            here = ", ".join(sorted(allowed)) or "nothing"
            problems.append(f"classes.{failure}.{name} makes no sense; {name} is for: {where}; allowed here: {here}")
    if (bad_input := classes.get(FailureClass.BAD_INPUT)) is not None and bad_input.retry:
        problems.append("classes.bad_input.retry can't be true: the same input would be refused again")
    if problems:
        raise ValueError("; ".join(problems))


class Retry(Section):
    """What follows a failed job, unless a pipeline says otherwise."""

    max_attempts: int = Field(default=3, ge=1, description="Attempts that count, per run.")
    initial_delay_minutes: float = Field(default=5, ge=0, description="Wait before the second attempt (min).")
    max_delay_minutes: float = Field(default=60, ge=0, description="Longest wait (min).")
    exponential_backoff: bool = Field(default=True, description="Double the wait each time.")
    jitter: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of a wait that chance may take off, so that runs which failed together come back apart.",
    )
    classes: dict[FailureClass, ClassRetry] = Field(
        default_factory=dict,
        description="By failure class: retry, growth (of out_of_memory and timeout), delay_minutes, counts, "
        "max_attempts; see the admin guide.",
    )

    @model_validator(mode="after")
    def _check(self) -> Retry:
        if self.max_delay_minutes < self.initial_delay_minutes:
            raise ValueError(
                f"max_delay_minutes ({self.max_delay_minutes:g}) is below "
                f"initial_delay_minutes ({self.initial_delay_minutes:g})"
            )
        _check_classes(self.classes)
        return self


class PipelineRetry(Section):
    """What a pipeline says of its own retries; anything left out is as workflow.retry has it."""

    max_attempts: int | None = Field(default=None, ge=1, description="Instead of workflow.retry's.")
    initial_delay_minutes: float | None = Field(default=None, ge=0, description="Instead of workflow.retry's (min).")
    max_delay_minutes: float | None = Field(default=None, ge=0, description="Instead of workflow.retry's (min).")
    exponential_backoff: bool | None = Field(default=None, description="Instead of workflow.retry's.")
    jitter: float | None = Field(default=None, ge=0, le=1, description="Instead of workflow.retry's.")
    classes: dict[FailureClass, ClassRetry] = Field(
        default_factory=dict, description="Field by field instead of workflow.retry's."
    )

    @model_validator(mode="after")
    def _check(self) -> PipelineRetry:
        _check_classes(self.classes)
        return self

    def over(self, general: Retry) -> Retry:
        """Return the policy of the pipeline: this one's own fields, the general one's for the others.

        Raises:
            ValueError: when the two don't fit each other.
        """
        values = general.model_dump() | self.model_dump(exclude_none=True, exclude={"classes"})
        classes = {failure: policy.model_dump(exclude_none=True) for failure, policy in general.classes.items()}
        for failure, policy in self.classes.items():
            classes[failure] = classes.get(failure, {}) | policy.model_dump(exclude_none=True)
        return Retry.model_validate({**values, "classes": classes})


class Breaker(Section):
    """When a pipeline is held because its runs fail alike."""

    enabled: bool = Field(default=True, description="Whether a pipeline is held when its runs fail alike.")
    failures: int = Field(default=5, ge=2, description="So many runs failing alike hold it.")
    window: int = Field(default=10, ge=2, description="Of so many runs that ended last.")

    @model_validator(mode="after")
    def _check(self) -> Breaker:
        if self.failures > self.window:
            raise ValueError(f"failures ({self.failures}) is above window ({self.window}): it could never be reached")
        return self
