"""The rules by which papers score denoised raw images, and scores that name theirs.

The same denoised images score decibels apart under two protocols, so every score
carries the name of its own, and scores of different protocols are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """The rules by which a published figure was computed.

    All of them take packed planes of normalised raw data times the light factor, clip
    both images to [0, 1], compute one mean squared error over all planes, average the
    SSIM over planes, and average both figures over images. A PSNR is at most 96.3 dB:
    see `skadl.psnr`.

    Parameters
    ----------
    name : str
        What scores carry.
    source : str
        Where the rules are written down.
    images : str
        What the source's own figures are averaged over.
    crop : int, optional
        Side of the middle that is cut out of the packed frame before it is denoised.
    border : int, default=0
        Packed pixels left out along each edge, after the correction.
    corrected : bool, default=False
        Whether the denoised image is multiplied by the one factor that brings it
        closest to the clean one, over all pixels where the clean one is not white.
    clips_corrected : bool, default=True
        Whether the corrected image is clipped to white once more.
    mse_offset : float, default=0
        Added to the mean squared error.
    gaussian_ssim : bool, default=False
        Whether SSIM takes the 11x11 Gaussian window (1.5 pixels) and the variances of
        Wang et al. (2004); else the 7x7 uniform one and the sample variances, which
        are scikit-image's defaults.
    on_sky : bool, default=False
        Whether a frame of the night sky is scored between its stars: two packed pixels
        from what exceeds the median of a plane of the clean frame by five robust
        deviations, and where that plane has at least half of its median. The rest
        counts as restored without error in the SSIM.
    """

    name: str
    source: str
    images: str
    crop: int | None = None
    border: int = 0
    corrected: bool = False
    clips_corrected: bool = True
    mse_offset: float = 0.0
    gaussian_ssim: bool = False
    on_sky: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "sid",
            "Vandermode/ELD: test_SID.py, models/ELD_model.py, util/index.py",
            "SID Sony, by ratio (100, 250, 300): 15 indoor scenes or all of "
            "validation and test",
            crop=512,
            corrected=True,
        ),
        Protocol(
            "eld",
            "Vandermode/ELD: test_ELD.py, models/ELD_model.py, util/index.py",
            "ELD, by camera and ratio (100, 200): scenes 1 to 10 at ISO 800, 1600, "
            "3200",
            corrected=True,
        ),
        Protocol(
            "pmn",
            "megvii-research/PMN: trainer_SID.py, data_process/real_datasets.py",
            "SID Sony validation and test (129 pairs) and ELD Sony, whole frames",
            corrected=True,
        ),
        Protocol(
            "led",
            "Srameo/LED: led/models/raw_base_model.py, led/metrics/psnr_ssim.py, "
            "options/base/val_and_logger.yaml",
            "SID Sony test and ELD scenes 3 to 10, by ratio",
            border=2,
            corrected=True,
            clips_corrected=False,
            mse_offset=1e-8,
            gaussian_ssim=True,
        ),
        Protocol(
            "sidd",
            "zhangyi-3/Noise-Synthesis: test.py (its SSIM is not computed there; it "
            "is that of skadl)",
            "SIDD-Medium scenes 002, 003 and 005 of a phone, frames 010 and 011",
        ),
        Protocol("skadl", "skadl: ADLDenoiser.score", "whatever is scored"),
        Protocol(
            "sky",
            "skadl: stars drift by parts of a pixel from frame to frame, so that an "
            "error at a star says nothing of a denoiser",
            "frames of the night sky",
            on_sky=True,
        ),
    )
}


@dataclass(frozen=True)
class Score:
    """How close denoised images are to their clean partners, under one protocol.

    Scores are ordered by PSNR and subtracted from one another only where they have
    one protocol.

    Parameters
    ----------
    psnr : float
        In dB; of several images the mean.
    ssim : float
        At most 1; of several images the mean.
    protocol : str
        One of the names in `PROTOCOLS`.
    n_images : int, default=1
    images : tuple of Score, optional
        The score of each image, where there are several.

    Examples
    --------
    >>> before, after = Score(38.0, 0.90, "eld"), Score(41.5, 0.95, "eld")
    >>> before < after
    True
    >>> print(after - before)
    +3.50 dB, SSIM +0.0500 (protocol eld)
    >>> after - Score(40.0, 0.93, "led")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: scores under the protocols 'eld' and 'led' cannot be compared; ...
    """

    psnr: float
    ssim: float
    protocol: str
    n_images: int = 1
    images: tuple[Score, ...] = ()

    def __str__(self) -> str:
        n_images = f"{self.n_images} image{'s' if self.n_images != 1 else ''}"
        return (
            f"{self.psnr:.2f} dB, SSIM {self.ssim:.4f} (protocol {self.protocol}, "
            f"{n_images})"
        )

    def __lt__(self, other: Score) -> bool:
        return NotImplemented if self._differs(other) else self.psnr < other.psnr

    def __le__(self, other: Score) -> bool:
        return NotImplemented if self._differs(other) else self.psnr <= other.psnr

    def __sub__(self, other: Score) -> ScoreGain:
        if self._differs(other):
            return NotImplemented
        return ScoreGain(self.psnr - other.psnr, self.ssim - other.ssim, self.protocol)

    def _differs(self, other: Any) -> bool:
        """Tell whether the other is no score; refuse one of another protocol."""
        if not isinstance(other, Score):
            return True
        if self.protocol != other.protocol:
            raise ValueError(
                f"scores under the protocols {self.protocol!r} and "
                f"{other.protocol!r} cannot be compared; score both under one of them."
            )
        return False


@dataclass(frozen=True)
class ScoreGain:
    """By how much one score lies above another of the same protocol.

    Parameters
    ----------
    psnr : float
        In dB.
    ssim : float
    protocol : str
    """

    psnr: float
    ssim: float
    protocol: str

    def __str__(self) -> str:
        return f"{self.psnr:+.2f} dB, SSIM {self.ssim:+.4f} (protocol {self.protocol})"


def get_protocol(protocol: str) -> Protocol:
    """Return the rules of a protocol by its name.

    Parameters
    ----------
    protocol : {"sid", "eld", "pmn", "led", "sidd", "skadl", "sky"}

    Returns
    -------
    Protocol

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> get_protocol("led").border
    2
    """
    try:
        return PROTOCOLS[protocol]
    except (KeyError, TypeError):
        raise ValueError(
            f"protocol {protocol!r} is not known; choose one of {list(PROTOCOLS)}."
        ) from None
