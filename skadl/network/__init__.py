"""Networks, what they know of an image, and their form for one image."""
