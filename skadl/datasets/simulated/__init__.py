"""Simulated cameras and the scenes before them; and pairs that do harm."""
