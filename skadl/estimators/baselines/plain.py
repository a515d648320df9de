"""What the trainings without selection share: where they begin, and how long."""

from __future__ import annotations

import os
from typing import Any

from sklearn.base import BaseEstimator

from skadl.estimators.baselines.base import COUNT, POSITIVE, NetworkBaseline
from skadl.estimators.start import RANDOM

OF_RANDOM = {"loss_weighting": "none", "conditioning": "none", "safeguard": False}
OF_TRAINED = {"loss_weighting": "noise", "conditioning": "noise", "safeguard": True}


class PlainTraining(NetworkBaseline):
    """Base of what trains on given pairs without selecting any.

    Parameters
    ----------
    start : {"random", "universal"}, path or fitted denoiser, default="random"
        Where training begins; see `skadl.ADLDenoiser`.
    n_iter, n_finetune_iter : int or None, default=None
        Steps of the two parts.
    finetune_rate : float, default=0.3
        Where the last steps begin, as a fraction of `learning_rate`.
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
        "n_iter": [*COUNT, None],
        "n_finetune_iter": [*COUNT, None],
        "finetune_rate": POSITIVE,
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

    # Steps after a random and after a trained start, as many as ADLDenoiser takes.
    steps_of_random = {"n_iter": 6600, "n_finetune_iter": 600}
    steps_of_trained = {"n_iter": 1000, "n_finetune_iter": 100}

    def __init__(
        self,
        *,
        start: str | os.PathLike | BaseEstimator = RANDOM,
        n_iter: int | None = None,
        n_finetune_iter: int | None = None,
        finetune_rate: float = 0.3,
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
        self.n_iter = n_iter
        self.n_finetune_iter = n_finetune_iter
        self.finetune_rate = finetune_rate

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
