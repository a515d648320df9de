"""What every room may use: whole files, progress, text, devices, extras."""
