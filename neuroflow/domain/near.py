"""Which labels a person may have meant: made from the one that was typed, so that a hundred thousand need no walk."""

from __future__ import annotations

from string import ascii_letters, digits

_LONGEST = 20  # of a longer label so many others are one slip apart that looking them up is no longer quick
_LETTERS = digits + ascii_letters
_MOST_ZEROS = 6


def zeros_apart(label: str) -> frozenset[str]:
    """Return the labels with other numbers of zeros in front: `1`, `01` and `001`."""
    bare = label.lstrip("0") or "0"
    return frozenset("0" * count + bare for count in range(_MOST_ZEROS + 1)) - {label}


def one_slip_apart(label: str) -> frozenset[str]:
    """Return the labels with one character more, less or other, or with two neighbours in the other order."""
    if len(label) > _LONGEST:
        return frozenset()
    halves = [(label[:place], label[place:]) for place in range(len(label) + 1)]
    less = {before + after[1:] for before, after in halves if after}
    swapped = {before + after[1] + after[0] + after[2:] for before, after in halves if len(after) > 1}
    other = {before + letter + after[1:] for before, after in halves if after for letter in _LETTERS}
    more = {before + letter + after for before, after in halves for letter in _LETTERS}
    return frozenset(less | swapped | other | more) - {label, ""}
