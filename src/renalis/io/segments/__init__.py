"""Read segmentations that others stored as named segments: DICOM-SEG, RTSTRUCT, NRRD, masks."""
