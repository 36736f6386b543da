"""Give each pair of labels to one folder only."""

from __future__ import annotations

from neuroflow.discovery.naming import Labels


class Claims:
    """Who holds which labels; labels that differ only in letter case are taken for the same ones.

    They would be two subjects for BIDS, and one folder on a file system that ignores case.
    """

    def __init__(self) -> None:
        self._subjects: dict[str, tuple[Labels, str]] = {}
        self._sessions: dict[tuple[str, str], tuple[Labels, str]] = {}

    def take(self, labels: Labels, place: str) -> str | None:
        """Take the labels for a folder, or return in words who has them."""
        subject_key = labels.subject.lower()
        holder, holder_place = self._subjects.get(subject_key, (labels, place))
        if holder.subject != labels.subject:
            return (
                f"{place!r} gives subject '{labels.subject}', {holder_place!r} gives '{holder.subject}': "
                "they differ only in letter case, the latter is kept; rename one of them"
            )
        if holder.identity != labels.identity:
            return (
                f"{place!r} and {holder_place!r} both give subject '{labels.subject}', but from different values of "
                "the DICOM field: they may be two people, the latter is kept; name them in a CSV (labels: csv)"
            )
        key = (subject_key, labels.session.lower())
        if key in self._sessions:
            other, other_place = self._sessions[key]
            return (
                f"{place!r} gives sub-{labels.subject}/ses-{labels.session}, as {other_place!r} gives "
                f"sub-{other.subject}/ses-{other.session}: the latter is kept; rename or merge them"
            )
        self._subjects.setdefault(subject_key, (labels, place))
        self._sessions[key] = (labels, place)
        return None
