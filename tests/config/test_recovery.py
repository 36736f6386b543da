"""What a site may say of retries and of the breaker, and what it may not."""

from __future__ import annotations

import pytest

from neuroflow.config.recovery import ALLOWED_FIELDS, ClassRetry, Retry
from neuroflow.domain import FailureClass
from tests.config.conftest import Load, Problems

EXAMPLE = """\
workflow:
  retry:
    jitter: 0.2
    classes:
      out_of_memory: {growth: 2.0, max_attempts: 4}
      application: {retry: false}
      timeout: {growth: 1.5}
      node: {delay_minutes: 5}
  breaker: {failures: 3}
pipelines:
  qsiprep:
    retry: {max_attempts: 5}
"""


def test_a_policy_by_failure_class_is_read(load: Load) -> None:
    config = load(EXAMPLE)
    retry = config.workflow.retry
    assert retry.classes[FailureClass.OUT_OF_MEMORY] == ClassRetry(growth=2.0, max_attempts=4)
    assert retry.classes[FailureClass.APPLICATION].retry is False
    assert (config.workflow.breaker.failures, config.workflow.breaker.window) == (3, 10)
    assert config.pipelines.qsiprep.retry.over(retry) == Retry(max_attempts=5, jitter=0.2, classes=retry.classes)


def test_by_variables_too(load: Load) -> None:
    environ = {"NEUROFLOW_WORKFLOW__RETRY__CLASSES": '{"site": {"retry": true}}'}
    assert load(environ=environ).workflow.retry.classes == {FailureClass.SITE: ClassRetry(retry=True)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "classes: {oom: {retry: true}}",
            "workflow.retry.classes.oom: is 'oom', but must be 'out_of_memory', 'timeout'",
        ),
        ("classes: {node: {wait: 5}}", "classes.node.wait: is no key of the configuration"),
        ("classes: {timeout: {growth: 1}}", "classes.timeout.growth: is 1, but must be greater than 1"),
        (
            "classes: {bad_input: {retry: true}}",
            "classes.bad_input.retry can't be true: the same input would be refused",
        ),
        ("classes: {cancelled: {retry: true}}", "classes.cancelled.retry makes no sense; retry is for: out_of_memory"),
        ("jitter: 1.5", "workflow.retry.jitter: is 1.5, but must be less than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(problems: Problems, text: str, expected: str) -> None:
    (line,) = problems(f"workflow: {{retry: {{{text}}}}}\n")
    assert expected in line


@pytest.mark.parametrize("failure", [failure for failure in FailureClass if "growth" not in ALLOWED_FIELDS[failure]])
def test_only_memory_and_time_can_grow(problems: Problems, failure: FailureClass) -> None:
    (line,) = problems(f"workflow: {{retry: {{classes: {{{failure}: {{growth: 2}}}}}}}}\n")
    assert f"classes.{failure}.growth makes no sense; growth is for: out_of_memory, timeout" in line


def test_the_same_holds_for_a_pipelines_own(problems: Problems) -> None:
    (line,) = problems("pipelines: {qsiprep: {retry: {classes: {bad_input: {retry: true}}}}}\n")
    assert "pipelines.qsiprep.retry: classes.bad_input.retry can't be true" in line


def test_a_pipelines_own_must_fit_the_general_one(problems: Problems, load: Load) -> None:
    (line,) = problems("pipelines: {qsiprep: {retry: {initial_delay_minutes: 90}}}\n")
    assert line == (
        "neuroflow.yaml: pipelines.qsiprep.retry, over workflow.retry: "
        "max_delay_minutes (60) is below initial_delay_minutes (90)"
    )
    # Below the default of the general one's first delay, which has been lowered as well.
    load("workflow: {retry: {initial_delay_minutes: 1}}\npipelines: {qsiprep: {retry: {max_delay_minutes: 2}}}\n")


def test_a_breaker_that_could_never_trip_is_refused(problems: Problems) -> None:
    (line,) = problems("workflow: {breaker: {failures: 11}}\n")
    assert "workflow.breaker: failures (11) is above window (10): it could never be reached" in line
