"""Small DICOM files for tests: valid ones, and ones as transfers and scanners leave them."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SERIES_UID = "1.2.826.0.1.3680043.8.498.1"


def write_dicom(path: Path, *, sop_class: str = MRImageStorage, **values: object) -> Path:
    """Write one MR slice of 4x4 pixels; a value of None leaves its element out."""
    dataset = Dataset()
    defaults: dict[str, object] = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": generate_uid(),
        "StudyDate": "20240517",
        "Modality": "MR",
        "SeriesDescription": "dwi_dir-AP",
        "PatientID": "P 01",
        "ProtocolName": "diffusion",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.9",
        "SeriesInstanceUID": SERIES_UID,
        "SeriesNumber": 5,
        "InstanceNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 4,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(32),
    }
    for keyword, value in (defaults | values).items():
        if value is not None:
            setattr(dataset, keyword, value)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, count: int, **values: object) -> None:
    """Write `count` slices of one series, named as Philips does: without a suffix."""
    for number in range(1, count + 1):
        write_dicom(folder / f"IM_{number:04d}", InstanceNumber=number, **values)
