"""DICOM folders on disk in, found sessions out; nothing here writes to the DICOM tree or to the database."""
