"""Pair checks and screening: what they find, and what they suspect wrongly."""
