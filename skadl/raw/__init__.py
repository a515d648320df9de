"""One raw image: its mosaic, its record, and the files it comes from and goes to."""
