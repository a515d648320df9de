"""``python -m skadl``: the same as the command ``skadl``."""

from skadl.commands.main import main

if __name__ == "__main__":
    main(prog_name="python -m skadl")
