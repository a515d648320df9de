"""What all denoisers share: predict, score, and what scikit-learn asks of them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from skadl.estimators.model_files.classes import is_saved
from skadl.estimators.model_files.parameters import parameters_to_save
from skadl.estimators.model_files.reader import ModelFile
from skadl.estimators.model_files.writer import write_model_file
from skadl.estimators.no_y import NO_Y, without_y
from skadl.estimators.validation import check_meta
from skadl.estimators.view import fitted_html
from skadl.evaluation.metrics import clipped_psnr
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.prediction.fitted_model import FittedModel, OtherNetwork
from skadl.prediction.image import denoise
from skadl.prediction.model import DEFAULT_MEMORY_LIMIT, ImageModel, PredictOptions
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair, check_pairs_sequence
from skadl.support.device import is_available, resolve_precision
from skadl.support.progress import Progress


class RawDenoiser(BaseEstimator, ABC):
    """Base of every denoiser: a subclass needs `fit` and `fitted_model`.

    ``fit(target_pairs, source_pairs=None, meta=None)`` takes these names, by which
    searches route them, and leaves `sensors_` behind.

    Attributes
    ----------
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise where it is known.

    Notes
    -----
    Every denoiser is scored alike: on normalised planes, before they are rounded to
    counts. What has a network derives from `NetworkDenoiser`; the others return a
    `skadl.prediction.model.PlaneFunction` from `fitted_model`.
    """

    # So that searches route these without set_fit_request in user code.
    __metadata_request__fit = {
        "target_pairs": UNUSED,
        "source_pairs": True,
        "meta": True,
    }
    __metadata_request__score = {"target_pairs": UNUSED, "meta": True}
    __metadata_request__predict = {"raw": UNUSED}

    verbose: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let `fit` of a subclass be called as pipelines do, with y by position."""
        super().__init_subclass__(**kwargs)
        if "fit" in cls.__dict__:
            cls.fit = without_y(cls.__dict__["fit"])

    @abstractmethod
    def fitted_model(self) -> ImageModel:
        """Return what predicts an image.

        Returns
        -------
        ImageModel

        Raises
        ------
        NotFittedError
            Before `fit`.
        """

    def denoise_planes(self, image: RawImage) -> np.ndarray:
        """Denoise an image into normalised planes, as `score` compares them.

        Parameters
        ----------
        image : RawImage

        Returns
        -------
        ndarray of shape (4, h, w), float32
            Black at 0, white at 1, times the light factor; sides rounded down.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the sensor or its noise is not known, or the image holds NaN or infinity.
        FloatingPointError
            If the result is not finite.

        Warns
        -----
        UserWarning
            If the ISO lies outside the range that the sensor was fitted on, or that its
            noise is given for.
        """
        return self.fitted_model().denoise_planes(image)

    def predict(
        self,
        raw: RawImage | RawPair | str | Path | np.ndarray | list,
        sensor: str | SensorInfo | None = None,
        iso: float | None = None,
        ratio: float | None = None,
        *,
        strength: float = 1.0,
        self_ensemble: bool | int = False,
        dtype: DTypeLike | None = None,
        memory_limit: float = DEFAULT_MEMORY_LIMIT,
        n_jobs: int | None = None,
        engine: str = "auto",
        precision: str | None = None,
    ) -> Any:
        """Denoise one image or a list of them.

        Parameters
        ----------
        raw : RawImage, path, ndarray of shape (H, W) or (4, h, w), or list of these
            A record, a RAW file, a mosaic in counts, or its packed planes R, Gr,
            Gb, B in counts. Of a `RawPair`, as `cross_val_predict` has them, the
            noisy frame.
        sensor : str or SensorInfo, optional
            One seen in `fit`; taken from the image where not given. With
            ``conditioning="noise"`` also one in the `meta` of `fit`, or the facts of
            any sensor with its noise: by hand or from `skadl.calibrate_sensor`.
            Pattern and levels come from the image where it has them. Noise that is
            not known is that of the file's NoiseProfile, else of published figures
            of the camera, else estimated from the image itself.
        iso : float, optional
            Taken from the image where not given. A file that does not say it needs it
            only where noise goes by ISO: not that of its NoiseProfile, nor what is
            estimated from the image.
        ratio : float, optional
            Light factor; taken from the image where not given, 1 for an array.
        strength : float, default=1
            How much of the change to make: ``raw + strength * (denoised - raw)``. 0
            gives the image as it is; in between fine detail stays, with as much of
            the noise.
        self_ensemble : bool or {1, 2, 4, 8}, default=False
            Average over so many turned versions of the mosaic: a little better, so
            many times slower. 2 is as it is and upside down, 4 all quarter turns, 8 or
            True these and their mirror images. 2 gives two thirds of what 8 gives.
            X-Trans has the first two alone.
        dtype : dtype, optional
            Of the counts of the result, by default those of the image. A file holds
            whole counts; ``dtype=np.float32`` keeps the fractions that a denoised
            shadow is made of, which `write_dng` can store.
        memory_limit : float, default=1.5
            In GiB, for everything but the image, Python and torch. Images for which
            that is too little are predicted in overlapping tiles, with the same
            result up to rounding.
        n_jobs : int, optional
            Images of a list to predict at a time, each in a process with its own
            `memory_limit`, on a GPU in threads; -1 is one for each processor.
        engine : {"auto", "torch", "onnxruntime", "openvino"}, default="auto"
            What computes the convolutions on a CPU, with the same result up to
            rounding. The last two need ``pip install "skadl[onnxruntime]"`` or
            ``"skadl[openvino]"``. "auto" is OpenVINO for ``precision="int8"``, else
            torch, which was as fast.
        precision : {"float32", "bfloat16", "int8"}, optional
            Of the convolutions of this prediction, instead of the model's own.
            "int8" rounds what the inner convolutions read and their weights to 8
            bits: for processors without bfloat16, with OpenVINO, and for a network
            that sees an image in units of its noise, such as the one that comes with
            skadl. onnxruntime knows no "bfloat16" and computes in float32.

        Returns
        -------
        RawImage, ndarray or list
            The same kind, size, dtype, units and exposure; for a path the denoised
            `RawImage`. Integers are rounded.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If sensor or ISO is missing or unknown, the noise of a sensor never seen
            is not known and cannot be estimated, the image or an argument cannot be
            used, or `memory_limit` is too low for the image.
        ImportError
            If the engine is not installed.
        FloatingPointError
            If the result is not finite.

        Warns
        -----
        UserWarning
            If the ISO lies outside the range that the sensor was fitted on, or that
            its noise is given for; if the noise was estimated from the image, or
            what is known of it contradicts the image.
        """
        model = self.fitted_model()
        options = PredictOptions(
            strength, self_ensemble, dtype, memory_limit, engine, precision
        )
        progress = Progress(self.verbose)
        if not isinstance(raw, (list, tuple)) and not _holds_pairs(raw):
            track = partial(progress.track, "denoising")
            return denoise(model, raw, sensor, iso, ratio, options, track)
        jobs = (delayed(denoise)(model, r, sensor, iso, ratio, options) for r in raw)
        parallel = Parallel(n_jobs, prefer=self._prefer(), return_as="generator")
        denoised = parallel(jobs)
        return list(progress.track("denoising", denoised, len(raw)))

    def score(
        self,
        target_pairs: Sequence[RawPair],
        y: None = None,
        meta: SensorTable | None = None,
    ) -> float:
        """Mean PSNR of denoised against clean images; higher is better.

        Parameters
        ----------
        target_pairs : sequence of RawPair
        y : None
            For scikit-learn's sake.
        meta : SensorTable, optional
            Noise of sensors never seen in `fit`, which a model with
            ``conditioning="noise"`` can score; what `fit` knows stays as it is.

        Returns
        -------
        float
            In dB, over normalised packed images times the light factor, clipped to
            [0, 1].

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError
            If `y` is given: that is where sources land when they are passed to a
            search by position.
        ValueError
            If there are no pairs, or a sensor or its noise is not known.
        """
        model = self.fitted_model()
        if y is not None:
            raise TypeError(NO_Y.format(method="score"))
        pairs = check_pairs_sequence(target_pairs, "target_pairs")
        if not pairs:
            raise ValueError("got no pairs to score; give at least one RawPair.")
        check_meta(meta, pairs)  # for what it refuses
        if meta:
            unseen = {
                k: info for k, info in meta.items() if not self._knows_from_fit(k)
            }
            model = replace(model, sensors=model.sensors.updated(unseen))
        scores = [
            clipped_psnr(model.denoise_planes(pair.noisy), pair.clean.normalised())
            for pair in pairs
        ]
        return float(np.mean(scores))

    def _knows_from_fit(self, sensor: str) -> bool:
        """Whether what `fit` knows of a sensor goes before what is given later."""
        return sensor in self.sensors_

    def _prefer(self) -> str | None:
        """Choose what joblib works with where images are predicted side by side."""
        return None

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + self._fitted_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:  # not with set_config(display="text")
            bundle["text/html"] += self._fitted_html()
        return bundle

    def _fitted_html(self) -> str:
        if not hasattr(self, "sensors_"):
            return ""
        return fitted_html(self.sensors_, getattr(self, "selection_report_", None))

    def __sklearn_tags__(self):
        """Tell scikit-learn that the input is not a 2-D array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _holds_pairs(raw: Any) -> bool:
    """Whether an array is what scikit-learn makes of a list of pairs."""
    return (
        isinstance(raw, np.ndarray)
        and raw.ndim == 1
        and raw.dtype == object
        and all(isinstance(item, RawPair) for item in raw)
    )


class NetworkDenoiser(RawDenoiser):
    """Base of denoisers with a network: `fit` leaves it in `module_`.

    Attributes
    ----------
    module_ : ModulatedNetwork
        The trained network.
    conditioning_ : Conditioning
        What it knows of an image.
    device_ : torch.device
        Where the network is.
    sensors_ : SensorTable
    other_networks_ : mapping of int to callable
        What gives, on a device, a network for mosaics of so many planes, where the
        denoiser has more than one; none after a fit.
    """

    other_networks_: Mapping[int, OtherNetwork] = {}
    precision: str = "auto"
    safeguard: bool = True

    def fitted_model(self) -> FittedModel:
        """Return the network with all that prediction asks.

        Returns
        -------
        FittedModel

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        return FittedModel(
            self.module_,
            self.conditioning_,
            self.sensors_,
            resolve_precision(self.precision, self.device_),
            self.is_safeguarded(),
            self.other_networks_,
        )

    def is_safeguarded(self) -> bool:
        """Tell whether `predict` holds back what would do more harm than good.

        Returns
        -------
        bool
        """
        return bool(self.safeguard)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file that `skadl.load` reads back.

        The file holds no code: it can be shared, unlike a pickle or a joblib dump,
        which run what is in them when they are loaded.

        Parameters
        ----------
        path : str or Path
            Written under exactly this name, only when complete. With the suffix
            ``.safetensors`` other programs find the weights.

        Raises
        ------
        NotFittedError, TypeError, ValueError, OSError
            Before `fit`; for a class that is not skadl's own; where a weight is not
            finite or a parameter no plain value; where the file cannot be written.

        Warns
        -----
        UserWarning
            If a parameter is what a file cannot hold, such as a fitted `start` or a
            `gate` of one's own: it says what is stored instead. That matters for
            another `fit` only.
        """
        check_is_fitted(self)
        if not is_saved(type(self)):
            raise TypeError(
                f"a model file holds an ADLDenoiser or one of skadl.baselines, got "
                f"{type(self).__name__}: its own code would be lost; keep it with "
                "joblib.dump."
            )
        contents = ModelFile(
            parameters_to_save(self),
            self.module_,
            self.conditioning_,
            self.sensors_,
            self.selection_report_,
            self.n_iter_,
            estimator=type(self).__name__,
        )
        write_model_file(Path(path), contents)

    def _knows_from_fit(self, sensor: str) -> bool:
        return sensor in self.conditioning_.sensors

    def _prefer(self) -> str | None:
        return "threads" if self.device_.type != "cpu" else None

    def __getstate__(self) -> dict:
        """Pickle with the network on the CPU, so that it loads without the GPU."""
        state = super().__getstate__()
        if "module_" in state:
            state = {**state, "module_": copy.deepcopy(state["module_"]).cpu()}
            state["device_"] = str(state["device_"])
        return state

    def __setstate__(self, state: dict) -> None:
        """Put the network back where it was, or on the CPU if that is gone."""
        super().__setstate__(state)
        if "module_" in state:
            device = torch.device(state["device_"])
            self.device_ = device if is_available(device) else torch.device("cpu")
            self.module_.to(self.device_)
