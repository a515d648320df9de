"""Which pairs are fit for training: examined frame by frame, and together."""
