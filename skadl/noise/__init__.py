"""Noise: measured on pairs, fitted per sensor, compared, and given to other frames."""
