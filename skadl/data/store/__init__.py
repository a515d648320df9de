"""Packed frames in a folder, from which training draws patches."""
