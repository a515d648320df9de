"""Time and memory of training, prediction and the patch store."""
