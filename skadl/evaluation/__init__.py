"""Stars: found in an image, and what a denoiser does to them."""
