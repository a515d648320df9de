"""Networks, what they are told of an image, and their form for one image."""
