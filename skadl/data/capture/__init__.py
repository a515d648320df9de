"""What to shoot for a sensor, and what the pairs at hand leave out."""
