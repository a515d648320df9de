"""What skadl is worth, measured: tables, speed, pair checks, robustness."""
