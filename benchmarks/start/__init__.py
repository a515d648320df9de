"""Training of a denoiser that knows noise: one network for any Bayer camera."""
