"""Read named segments that others stored (DICOM-SEG, RTSTRUCT, NRRD, masks); write DICOM-SEG."""
