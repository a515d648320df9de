"""The commands of ``skadl``, a module each. Heavy imports wait until one runs."""
