"""Fit a denoiser on the noisy/clean pairs of RAW files in a folder.

``python fit_folder.py PAIRS MODEL [SOURCES ...]``: PAIRS holds the pairs of the new
camera, as `skadl.load_pairs` describes; MODEL is the file to write; SOURCES are
folders with pairs of other cameras. `skadl fit` does the same with more options; this
is a start for your own.
"""

from __future__ import annotations

import sys

from skadl import ADLDenoiser, SourcePool, load_pairs

# Any parameter of ADLDenoiser, such as {"gate": "paired", "n_iter": 2000}. Training
# starts from the network that comes with skadl; {"start": "other.safetensors"} starts
# from yours.
PARAMETERS = {}


def main(folder: str, model: str, *source_folders: str) -> None:
    """Load, fit, say what was taken, and save."""
    pairs = load_pairs(folder)
    print(pairs.summary())
    others = [pair for source in source_folders for pair in load_pairs(source)]
    denoiser = ADLDenoiser(**PARAMETERS, random_state=0, verbose=1)
    denoiser.fit(pairs, source_pairs=SourcePool(others) if others else None)
    print(denoiser.selection_report_.summary())
    denoiser.save(model)
    print(f"Written: {model}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit("usage: python fit_folder.py PAIRS MODEL [SOURCES ...]")
    main(*sys.argv[1:])
