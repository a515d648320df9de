"""What to shoot for a sensor, and what the pairs shot so far leave out."""
