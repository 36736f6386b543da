"""Every finding has been provoked by a test: the registry of codes against the tests' own marks."""

from __future__ import annotations

import ast
from pathlib import Path

from neuroflow.doctor.check import Severity
from neuroflow.doctor.registry import CHECKS, NODE_CHECKS, kinds

HERE = Path(__file__).parent


def marked_codes() -> set[str]:
    """Return the codes in `@pytest.mark.provokes(...)` of the tests beside this one."""
    found = set()
    for file in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "provokes":
                found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def test_each_code_is_provoked_by_a_test() -> None:
    assert marked_codes() == {kind.code for kind in kinds()}


def test_codes_and_names_are_given_once() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(codes) == len(set(codes))
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))


def test_each_kind_says_why_it_matters_and_what_mends_it() -> None:
    for kind in kinds():
        assert kind.title
        assert kind.why
        assert kind.mend
        assert kind.severity in (Severity.ERROR, Severity.WARNING)


def test_a_check_needs_only_what_runs_before_it() -> None:
    before: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= before
        before.add(check.name)
    assert {name for check in NODE_CHECKS for name in check.needs} <= before
