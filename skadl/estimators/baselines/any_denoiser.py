"""A denoiser as a parameter, so that one search compares several kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skadl.data.pool import SourcePool
from skadl.estimators.base import RawDenoiser
from skadl.noise.sensors import SensorTable
from skadl.prediction.model import ImageModel
from skadl.raw.pair import RawPair


class AnyDenoiser(RawDenoiser):
    """A denoiser whose kind is a parameter: what a search over several kinds is given.

    Parameters
    ----------
    denoiser : RawDenoiser
        Cloned and fitted by `fit`.

    Attributes
    ----------
    denoiser_ : RawDenoiser
        Fitted.
    sensors_ : SensorTable
        Every sensor seen in `fit`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skadl import ADLDenoiser
    >>> from skadl.baselines import AnyDenoiser, FineTuning
    >>> kinds = {"denoiser": [ADLDenoiser(), FineTuning(), FineTuning(n_iter=100)]}
    >>> search = GridSearchCV(AnyDenoiser(ADLDenoiser()), kinds, cv=3)
    """

    def __init__(self, denoiser: RawDenoiser) -> None:
        self.denoiser = denoiser

    def fit(
        self,
        target_pairs: Sequence[RawPair],
        source_pairs: SourcePool
        | Mapping[str, Sequence[RawPair]]
        | Sequence[RawPair]
        | None = None,
        meta: SensorTable | None = None,
    ) -> AnyDenoiser:
        """Fit a clone of the denoiser.

        Parameters
        ----------
        target_pairs : sequence of RawPair
        source_pairs : SourcePool, mapping of domain to pairs, or sequence, optional
        meta : SensorTable, optional

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `denoiser` is none.
        ValueError
            As the denoiser's own `fit`.
        """
        if not isinstance(self.denoiser, RawDenoiser):
            raise TypeError(
                "denoiser must be an ADLDenoiser or one of skadl.baselines, got "
                f"{type(self.denoiser).__name__}."
            )
        self.denoiser_ = clone(self.denoiser).fit(target_pairs, source_pairs, meta)
        self.sensors_ = self.denoiser_.sensors_
        return self

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
        check_is_fitted(self)
        return self.denoiser_.fitted_model()
