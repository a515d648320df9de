"""Denoise the DNG files of a folder into another folder.

``python denoise_folder.py MODEL FOLDER OUT``: MODEL is a file that skadl saved.
`skadl denoise` does the same with more options; this is a start for your own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import skadl

PATTERN = "*.dng"  # of the files to denoise, such as *.ARW


def main(model: str, folder: str, out: str) -> None:
    """Write a denoised DNG for each file; one that fails costs no other."""
    denoiser = skadl.load(model)
    files = sorted(Path(folder).glob(PATTERN))
    if not files:
        raise SystemExit(f"there is no {PATTERN} in {folder}.")
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    n_failed = 0
    for file in files:
        try:
            # The truth of a shadow lies between whole counts.
            denoised = denoiser.predict(file, dtype=np.float32)
            path = skadl.write_dng(target / f"{file.stem}.dng", denoised, template=file)
        except (OSError, ValueError) as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            n_failed += 1
        else:
            print(f"Written: {path}")
    if n_failed:
        raise SystemExit(f"{n_failed} of {len(files)} files failed.")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: python denoise_folder.py MODEL FOLDER OUT")
    main(*sys.argv[1:])
