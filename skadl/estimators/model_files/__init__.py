"""A fitted denoiser in a file: written, read with suspicion, exported to ONNX."""
