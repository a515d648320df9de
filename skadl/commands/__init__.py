"""The commands of ``skadl``, a module each."""
