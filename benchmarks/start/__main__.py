"""Commands: ``python -m benchmarks.start train | anneal | evaluate | export``."""

from benchmarks.start.commands import main

main(prog_name="python -m benchmarks.start")
