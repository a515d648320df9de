"""Algorithm 1 in three stages, for any restoration task: what trains, what is taken.

It knows neither sensors nor noise: pairs come ready for the network, and what is the
task's own is handed in, `Schedule.symmetry` and the learner's loss weight.
"""
