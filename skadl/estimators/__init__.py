"""ADLDenoiser on what all denoisers share; model files in `model_files`."""
