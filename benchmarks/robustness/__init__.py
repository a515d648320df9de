"""Damaged files: no crash, no hang, no debris."""
