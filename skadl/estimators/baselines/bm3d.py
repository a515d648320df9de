"""Block matching and collaborative filtering, after variance stabilisation."""

from __future__ import annotations

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skadl.estimators.baselines.per_image import PerImageDenoiser
from skadl.support.extras import import_extra
from skadl.support.progress import Progress

PROFILES = {"normal": "BM3DProfile", "fast": "BM3DProfileLC"}


class BM3D(PerImageDenoiser):
    """Denoise by BM3D: groups of similar patches, filtered together.

    Needs ``pip install "skadl[bm3d]"``: the implementation of the method's authors,
    whose licence allows use that is not commercial alone. Needs no `fit`; the noise is
    measured in it or found in the image. A plane is denoised whole, in about a minute a
    megapixel of mosaic on one processor core.

    Parameters
    ----------
    profile : {"normal", "fast"}, default="normal"
        The authors' settings, with patches of 8x8; or those that they call "low
        complexity".
    verbose : int, default=0
        1 shows a progress bar over the four planes of an image.

    Attributes
    ----------
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise.

    Notes
    -----
    Dabov, Foi, Katkovnik and Egiazarian, "Image Denoising by Sparse 3-D
    Transform-Domain Collaborative Filtering" (IEEE Transactions on Image Processing
    2007), its two steps: hard thresholding, then a Wiener filter. Groups have at most
    16 patches in the first and 32 in the second, from 19 pixels around. These are the
    library's settings; none is changed here. BM3D expects the same noise everywhere, so
    planes R, Gr, Gb and B go through the generalised Anscombe transform one by one, and
    come back through its exact unbiased inverse
    (:mod:`skadl.noise.variance_stabilisation`). Qian et al. do not say how they ran it
    on raw frames.
    """

    _parameter_constraints: dict = {
        "profile": [StrOptions(set(PROFILES))],
        "verbose": ["verbose"],
    }

    def __init__(self, *, profile: str = "normal", verbose: int = 0) -> None:
        self.profile = profile
        self.verbose = verbose

    def denoise_stabilised(self, planes: np.ndarray) -> np.ndarray:
        """Denoise planes with unit noise, one by one.

        Parameters
        ----------
        planes : ndarray of shape (n_planes, h, w), float64

        Returns
        -------
        ndarray of shape (n_planes, h, w)

        Raises
        ------
        ImportError
            If bm3d is not installed.
        """
        package = import_extra("bm3d", "bm3d", "BM3D")
        profile = getattr(package, PROFILES[self.profile])()
        tracked = Progress(self.verbose).track("BM3D", planes, len(planes))
        return np.stack([package.bm3d(plane, 1.0, profile) for plane in tracked])
