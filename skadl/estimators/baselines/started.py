"""What baselines share that begin at random weights or at a trained network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from skadl.estimators.baselines.base import NetworkBaseline
from skadl.estimators.start import RANDOM

OF_RANDOM = {"loss_weighting": "none", "conditioning": "none", "safeguard": False}
OF_TRAINED = {"loss_weighting": "noise", "conditioning": "noise", "safeguard": True}


class StartedBaseline(NetworkBaseline):
    """Base of baselines that begin at random weights or at a trained network.

    A subclass names its steps in `steps_of_random` and `steps_of_trained`.

    Parameters
    ----------
    start : {"random", "universal"}, path or fitted denoiser, default="random"
        Where training begins; see `skadl.ADLDenoiser`.
    network : str or None, default=None
        A name of :data:`skadl.network.choice.NETWORKS`. None is that of the start,
        "unet" for a random one.
    base_channels, n_levels, mlp_width : int or None, default=None
        Width and depth of the network, hidden width of the modulation MLPs. None is
        what the start has: 16, 4 and 32 for a random one.
    loss_weighting : {"none", "noise"} or None, default=None
        Whether an image's L1 error counts as it is or in units of its own noise. None
        is "none" after a random start, as in the paper, "noise" after a trained one.
    conditioning : str or None, default=None
        What the network knows of an image; see `skadl.ADLDenoiser`. None is "none"
        after a random start: a plain U-Net. It is "noise" after a trained one, which
        knows nothing else.
    safeguard : bool or None, default=None
        Whether `predict` holds back corrections that would do an image more harm than
        good. None is False after a random start, True after a trained one.
    **shared
    """

    _parameter_constraints: dict = {
        "start": [str, os.PathLike, BaseEstimator],
        **{
            name: [*NetworkBaseline._parameter_constraints[name], None]
            for name in (
                *OF_RANDOM,
                "network",
                "base_channels",
                "n_levels",
                "mlp_width",
            )
        },
    }

    # Steps, where their parameters are None.
    steps_of_random: ClassVar[Mapping[str, int]] = {}
    steps_of_trained: ClassVar[Mapping[str, int]] = {}

    def __init__(
        self,
        *,
        start: str | os.PathLike | BaseEstimator = RANDOM,
        network: str | None = None,
        base_channels: int | None = None,
        n_levels: int | None = None,
        mlp_width: int | None = None,
        loss_weighting: str | None = None,
        conditioning: str | None = None,
        safeguard: bool | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(
            network=network,
            base_channels=base_channels,
            n_levels=n_levels,
            mlp_width=mlp_width,
            loss_weighting=loss_weighting,
            conditioning=conditioning,
            safeguard=safeguard,
            **shared,
        )
        self.start = start

    @property
    def begins_at_random(self) -> bool:
        """Whether training begins at random weights."""
        return isinstance(self.start, str) and self.start == RANDOM

    def chosen_parameters(self) -> dict[str, Any]:
        """Return all parameters, with what the start decides.

        Returns
        -------
        dict
        """
        recipe = OF_RANDOM if self.begins_at_random else OF_TRAINED
        steps = self.steps_of_random if self.begins_at_random else self.steps_of_trained
        given = self.get_params(deep=False)
        decided = {
            name: value if given[name] is None else given[name]
            for name, value in {**recipe, **steps}.items()
        }
        return {**given, **decided}

    def is_safeguarded(self) -> bool:
        """Tell whether `predict` holds back what would do more harm than good.

        Returns
        -------
        bool
        """
        return bool(self.chosen_parameters()["safeguard"])
