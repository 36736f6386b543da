"""Write a phantom as a scanner would: one DICOM file per slice and volume, for dcm2niix and HeudiConv.

The diffusion weighting is written as Siemens scanners do without mosaics, in the private groups `SIEMENS MR HEADER`
and `SIEMENS MR SDI 02`. It is the only classic encoding from which dcm2niix reads b-values, directions and the
polarity of the phase encoding alike: the public tags 0018,9087 and 0018,9089 say nothing about the polarity, which
QSIPrep needs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from neuroflow.demo.phantom import Floats, Phantom, Vector

FIRST_STUDY_DATE = date(2024, 1, 8)
DAYS_OF_STUDIES = 700  # the dates of the sessions are spread over so many days
MAX_STORED = 4095  # 12 bits, as scanners store
REPETITION_TIME_MS = 4000.0
FIRST_VOLUME_AT = datetime(2024, 1, 8, 10, 20, tzinfo=UTC)  # only the time of day is used
BANDWIDTH_PER_PIXEL_PHASE_ENCODE_HZ = 40.0  # gives a total readout time of about 25 ms

# A pixel's columns run to the patient's left, its rows to the back (LPS, as DICOM counts): RAS with x and y turned.
ROW_AND_COLUMN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class _Scan:
    """What all files of one series share."""

    subject: str
    session: str
    study_uid: str
    series_uid: str
    frame_uid: str
    study_date: str
    number: int
    description: str


@dataclass(frozen=True)
class _Slice:
    """What sets one file apart: its place in the series, its position (mm, LPS) and its weighting."""

    index: int
    volume: int
    position: Vector
    bval: float
    direction: Vector  # LPS


def write_session(folder: Path, *, subject: str, session: str, seed: int, phantom: Phantom | None = None) -> None:
    """Write one session's diffusion series below `folder`; the same arguments give the same bytes."""
    phantom = phantom or Phantom.default()
    scan = _scan(subject, session, seed)
    pixels = _stored(phantom.signal(seed=seed))
    target = Path(folder) / f"{scan.number:03d}_{scan.description}"
    target.mkdir(parents=True, exist_ok=True)
    index = 0
    for volume, (bval, ras) in enumerate(zip(phantom.gradients.bvals, phantom.gradients.directions, strict=True)):
        for k in range(phantom.shape[2]):
            index += 1
            place = _Slice(index, volume, _position(phantom, k), bval, _to_lps(ras))
            _dataset(scan, phantom, place, pixels[:, :, k, volume]).save_as(
                target / f"{index:06d}.dcm", enforce_file_format=True
            )


def _scan(subject: str, session: str, seed: int) -> _Scan:
    key = f"neuroflow phantom/{subject}/{session}/{seed}"
    days = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % DAYS_OF_STUDIES
    return _Scan(
        subject=subject,
        session=session,
        study_uid=_uid(key, "study"),
        series_uid=_uid(key, "series"),
        frame_uid=_uid(key, "frame"),
        study_date=(FIRST_STUDY_DATE + timedelta(days=days)).strftime("%Y%m%d"),
        number=2,
        description="dwi_dir-AP",
    )


def _uid(key: str, part: str) -> str:
    return str(generate_uid(entropy_srcs=[key, part]))


def _stored(signal: Floats) -> NDArray[np.uint16]:
    return np.clip(np.rint(signal), 0, MAX_STORED).astype(np.uint16)


def _to_lps(ras: Vector) -> Vector:
    x, y, z = ras
    return -x, -y, z


def _position(phantom: Phantom, k: int) -> Vector:
    """Return the centre of the slice's first pixel (mm, LPS): its rightmost, foremost voxel."""
    last_i, last_j = phantom.shape[0] - 1, phantom.shape[1] - 1
    x, y, z, _ = (float(value) for value in phantom.affine @ (last_i, last_j, k, 1))
    return _to_lps((x, y, z))


def _dataset(scan: _Scan, phantom: Phantom, place: _Slice, plane: NDArray[np.uint16]) -> Dataset:
    dataset = Dataset()
    _describe_study(dataset, scan)
    _describe_sequence(dataset)
    _describe_place(dataset, scan, phantom, place)
    _describe_diffusion(dataset, place)
    # plane[i, j] is RAS; pixels are rows (to the back) by columns (to the left).
    rows = np.ascontiguousarray(plane.T[::-1, ::-1])
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = rows.astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


def _describe_study(dataset: Dataset, scan: _Scan) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MRImageStorage
    dataset.StudyInstanceUID = scan.study_uid
    dataset.SeriesInstanceUID = scan.series_uid
    dataset.FrameOfReferenceUID = scan.frame_uid
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = scan.study_date
    dataset.StudyTime = dataset.SeriesTime = "101500"
    dataset.Modality = "MR"
    dataset.Manufacturer = "SIEMENS"
    dataset.ManufacturerModelName = "neuroflow phantom"
    dataset.InstitutionName = "neuroflow demonstration"
    dataset.SoftwareVersions = "syngo MR E11"
    dataset.StudyDescription = "neuroflow phantom"
    dataset.SeriesDescription = dataset.ProtocolName = scan.description
    dataset.PatientID = scan.subject
    dataset.PatientName = f"{scan.subject}^Phantom"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientPosition = "HFS"
    dataset.StudyID = scan.session[:16]  # the VR is a short string
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber = scan.number


def _describe_sequence(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    dataset.ScanningSequence = ["SE", "EP"]
    dataset.SequenceVariant = "SK"
    dataset.ScanOptions = "PFP"
    dataset.MRAcquisitionType = "2D"
    dataset.SequenceName = "ep_b"
    dataset.MagneticFieldStrength = 3.0
    dataset.RepetitionTime = REPETITION_TIME_MS
    dataset.EchoTime = 80.0
    dataset.FlipAngle = 90.0
    dataset.EchoTrainLength = 1
    dataset.InPlanePhaseEncodingDirection = "COL"


def _describe_place(dataset: Dataset, scan: _Scan, phantom: Phantom, place: _Slice) -> None:
    size = phantom.voxel_mm
    dataset.SOPInstanceUID = _uid(scan.series_uid, str(place.index))
    dataset.InstanceNumber = place.index
    dataset.AcquisitionNumber = place.volume + 1
    # Every slice has its own time: from equal ones dcm2niix concludes that all were excited at once (multiband).
    dataset.AcquisitionTime = dataset.ContentTime = _clock(place.index - 1, phantom.shape[2])
    dataset.PixelSpacing = [size, size]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = size
    dataset.ImagePositionPatient = [round(value, 4) for value in place.position]
    dataset.ImageOrientationPatient = list(ROW_AND_COLUMN)
    dataset.SliceLocation = round(place.position[2], 4)
    dataset.AcquisitionMatrix = [phantom.shape[0], 0, 0, phantom.shape[1]]


def _clock(slices_before: int, slices_per_volume: int) -> str:
    started = FIRST_VOLUME_AT + timedelta(milliseconds=slices_before * REPETITION_TIME_MS / slices_per_volume)
    return started.strftime("%H%M%S.%f")


def _describe_diffusion(dataset: Dataset, place: _Slice) -> None:
    header = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    header.add_new(0x0C, "IS", int(place.bval))
    if place.bval > 0:
        header.add_new(0x0D, "CS", "DIRECTIONAL")
        header.add_new(0x0E, "FD", list(place.direction))
    else:
        header.add_new(0x0D, "CS", "NONE")
    header.add_new(0x28, "FD", BANDWIDTH_PER_PIXEL_PHASE_ENCODE_HZ)
    image = dataset.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
    image.add_new(0x1C, "IS", 1)  # PhaseEncodingDirectionPositive: anterior to posterior
