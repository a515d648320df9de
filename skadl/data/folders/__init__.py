"""Folders of RAW files, read as noisy/clean pairs."""
