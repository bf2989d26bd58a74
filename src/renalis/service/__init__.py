"""A service: DICOM node, DICOMweb client and REST API around one durable queue; an optional extra.

`renalis.service.config` and `renalis.service.tokens` need nothing of the extra ``serve``, the
modules that talk to others do. A scan comes in by one of three doors
(`store_scp`, `dicomweb`, `uploads`), is kept whole on disk before its sender is told so
(`incoming`), becomes a job (`collect`), is segmented as ``renalis segment`` does (`worker`), and
goes back (`sender`). What is where is in one SQLite file, so that a process that is killed at any
moment goes on where it was.
"""
