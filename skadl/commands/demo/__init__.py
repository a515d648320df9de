"""The demonstration: a new camera, three trainings, one folder of results."""
