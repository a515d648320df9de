"""The paper's tables, measured on simulated cameras or on datasets from disk.

From a checkout, with the extra ``bench``: ``python -m benchmarks.tables``.
"""
