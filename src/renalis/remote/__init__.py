"""Scans and results in remote stores: S3 and all else that fsspec reaches by a URL."""
