"""Count a session's series from the headers of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroflow.discovery.dicom import Header
from neuroflow.discovery.problems import Problems, name_all
from neuroflow.domain import Series

DUPLICATE = "image that is there twice, counted once"
CUT = "image that is shorter than its pixels, not counted"
NO_NUMBER = "image without a series number, which HeudiConv leaves out"


@dataclass
class _Count:
    first: Header
    files: int = 0
    images: int = 0
    seen: set[tuple[str, int | None]] = field(default_factory=set)


class SeriesTally:
    """Headers in, series out; images and what only goes with them are separate series.

    Scanners write private files under the series UID of the images (Philips does); counted together they would
    make a complete series look too large.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bool], _Count] = {}
        self._patients: dict[str, str] = {}
        self._fields: dict[str, dict[str, None]] = {}
        self._problems = Problems()

    def add(self, name: str, header: Header) -> None:
        """Count one file; a DICOMDIR is left out."""
        if header.is_directory:
            return
        count = self._counts.setdefault((header.series_uid, header.is_image), _Count(first=header))
        count.files += 1
        if header.is_image:
            if header.patient_id:
                self._patients.setdefault(header.patient_id, name)
            for keyword, value in header.fields.items():
                self._fields.setdefault(keyword, {})[value] = None
            count.images += self._images(name, header, count)
        else:
            count.images += header.frames

    def _images(self, name: str, header: Header, count: _Count) -> int:
        if header.series_number is None:
            self._problems.add(NO_NUMBER, name)
        if header.is_cut:
            self._problems.add(CUT, name)
            return 0
        # With the instance number, because some anonymisers give all images one UID.
        key = (header.sop_instance, header.instance_number)
        if header.sop_instance and key in count.seen:
            self._problems.add(DUPLICATE, name)
            return 0
        count.seen.add(key)
        return header.frames

    def series(self) -> tuple[Series, ...]:
        """Return all series in the order of their numbers."""
        found = [_series(uid, is_image, count) for (uid, is_image), count in self._counts.items()]
        return tuple(
            sorted(found, key=lambda item: (item.number is None, item.number or 0, item.uid, not item.is_image))
        )

    def field_values(self) -> Mapping[str, tuple[str, ...]]:
        """Return the different values that the images have for each keyword that was asked for."""
        return {keyword: tuple(sorted(values)) for keyword, values in self._fields.items()}

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with the images, in lines."""
        lines = self._problems.lines()
        if len(self._patients) < 2:
            return lines
        # The IDs themselves are health data, and stay out of logs and messages.
        mixed = f"images of {len(self._patients)} patients (PatientID) in one session, the first of each in: "
        return (mixed + name_all(self._patients.values()), *lines)


def _series(uid: str, is_image: bool, count: _Count) -> Series:
    first = count.first
    return Series(
        uid=uid,
        number=first.series_number,
        description=first.description,
        protocol=first.protocol,
        modality=first.modality,
        files=count.files,
        images=count.images,
        is_image=is_image,
        study_uid=first.study_uid,
        study_date=first.study_date,
    )
