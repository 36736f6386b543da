"""YAML: what it would bend, hide or blow up is refused, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.config.document import read_document

from .conftest import Load, Problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "neuroflow.yaml: is empty; `neuroflow init` writes"),
        ("# only a comment\n", "neuroflow.yaml: is empty"),
        ("- a\n- b\n", "neuroflow.yaml:1: holds no mapping of sections"),
        ("just text\n", "neuroflow.yaml:1: holds no mapping of sections"),
        ("paths:\n\tdicom_root: x\n", "neuroflow.yaml:2: is not YAML: is indented with a tab"),
        ("a: [1, 2\nb: 3\n", "neuroflow.yaml:2: is not YAML"),
        ("workflow:\n  schedule: * * * * *\n", "put a value that begins with a special character in quotes"),
        ("paths:\n  a: 1\n  b: 2\n  a: 3\n", "neuroflow.yaml:4: paths.a: is given twice, first in line 2; keep one"),
        ("a: 1\na: 2\n", "neuroflow.yaml:2: a: is given twice, first in line 1"),
        ("1: x\n", "neuroflow.yaml:1: the key 1 is read as a number, flag or nothing; put it in quotes"),
        ("on: x\n", "neuroflow.yaml:1: the key on is read as a number, flag or nothing"),
        ("[a]: x\n", "neuroflow.yaml:1: a key must be a text"),
        ("a: !!python/object/apply:os.system ['true']\n", "neuroflow.yaml:1"),
        ("a: !!python/name:os.system\n", "could not determine a constructor"),
        ("a: !!binary x\n", "a: can't be read"),
        ("a: !!int x\n", "a: can't be read"),
        ("a: &b [*b]\n", "neuroflow.yaml"),
        ("a: 1\n---\nb: 2\n", "neuroflow.yaml:2: is not YAML"),
        ("a: \x01\n", "is not YAML"),
        ("a: " + "[" * 5000, "neuroflow.yaml"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_line(problems: Problems, text: str, expected: str) -> None:
    assert any(expected in line for line in problems(text, paths=""))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    assert read_document(tmp_path / "n.yaml").problems == [
        f"{tmp_path}/n.yaml:2: is not UTF-8 text; save the file as UTF-8"
    ]


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "n.yaml").write_text("\n".join(lines))
    (problem,) = read_document(tmp_path / "n.yaml").problems
    assert "unfolds to more than" in problem


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("# " + "x" * 1_100_000)
    assert "has 1100002 bytes" in read_document(tmp_path / "n.yaml").problems[0]


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(
        "octal: 010\nsexagesimal: 12:30\ndate: 2024-01-02\nint: 40_000\nexp: 1e3\nfloat: 1.5\nflag: yes\nnone: ~\n"
    )
    assert read_document(tmp_path / "n.yaml").values == {
        "octal": "010",
        "sexagesimal": "12:30",
        "date": "2024-01-02",
        "int": 40_000,
        "exp": 1000.0,
        "float": 1.5,
        "flag": True,
        "none": None,
    }


def test_a_number_with_a_leading_zero_is_not_octal(load: Load) -> None:
    assert load("pipelines: {qsiprep: {cpus: 010}}\n").pipelines.qsiprep.cpus == 10


def test_anchors_and_merge_keys_work_and_own_keys_win(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n")
    document = read_document(tmp_path / "n.yaml")
    assert document.problems == []
    assert document.values["b"] == {"x": 1, "y": 3}
    assert document.values["c"] == {"x": 1, "y": 2}


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert read_document(tmp_path / "n.yaml").values == {"a": 1}
