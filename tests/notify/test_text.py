"""Hostile text becomes one short line that no chat, terminal or mail reader acts upon."""

from __future__ import annotations

import time

import pytest

from neuroflow.notify.text import LONGEST_LINE, discreet, plain


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("<!channel> now", "‹! channel› now"),
        ("!channel", "! channel"),
        ("@here & @channel", "＠here ＆ ＠channel"),
        ("<https://evil.example/x|click>", "‹‹url›"),
        ("<b>bold</b>", "‹b›bold‹/b›"),
        ("`code` *bold* ~gone~", "'code' ∗bold∗ ∼gone∼"),
        ("abc\u202edef\u2028ghi\x00", "abc def ghi"),
    ],
)
def test_it_is_plain(text: str, result: str) -> None:
    assert plain(text) == result


def test_ten_megabytes_are_cut_at_once() -> None:
    began = time.process_time()
    line = plain("<!channel> https://x/" + "a\n\x1b[" * 3_000_000)
    assert len(line) <= LONGEST_LINE
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("run 7: sub-0042/ses-01 in /data/lab/sub-0042/x.nii.gz", "run 7: sub-<label>/ses-<label> in <path>"),
        ("see `neuroflow recovery show 3f9a0c12de`", "see `neuroflow recovery show 3f9a0c12de`"),
        ("(~/secret/file)", "(<path>)"),
    ],
)
def test_subjects_and_paths_are_not_named(text: str, result: str) -> None:
    assert discreet(text) == result
