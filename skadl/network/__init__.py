"""The modulated U-Net, what it is told of an image, and its form for one image."""
