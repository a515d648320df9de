"""Search parameters with the fits spread over a dask cluster.

``python search_on_dask.py PAIRS SOURCES [SCHEDULER]``: two folders of pairs, as
`skadl.load_pairs` describes, and the address of a dask scheduler, such as
tcp://192.168.0.7:8786; without one, a cluster of two workers on this machine. Every
worker needs skadl, and to see the folders under the same paths. Install with
``pip install distributed``.
"""

from __future__ import annotations

import sys

import joblib
from distributed import Client
from sklearn.model_selection import GridSearchCV, GroupKFold

from skadl import ADLDenoiser, SourcePool, load_pairs

# Shorter than the default after a trained start: a search fits many times.
PARAMETERS = {"n_iter": 200, "n_finetune_iter": 30}
GRID = {"queue_size": [10, 40], "learning_rate": [2e-4, 5e-4]}


def main(folder: str, source_folder: str, scheduler: str | None = None) -> None:
    """Search, and print every candidate with its score in dB."""
    pairs = list(load_pairs(folder))
    pool = SourcePool(load_pairs(source_folder))
    search = GridSearchCV(
        ADLDenoiser(**PARAMETERS, device="cpu", random_state=0),
        GRID,
        cv=GroupKFold(3),  # pairs of one scene stay together
        refit=False,
        error_score="raise",
    )
    where = {"address": scheduler} if scheduler else {"n_workers": 2}
    if not scheduler:
        where |= {"threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(**where), joblib.parallel_config("dask"):
        search.fit(pairs, groups=[pair.scene for pair in pairs], source_pairs=pool)
    results = search.cv_results_
    for parameters, score in zip(
        results["params"], results["mean_test_score"], strict=True
    ):
        print(f"{score:.2f} dB  {parameters}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python search_on_dask.py PAIRS SOURCES [SCHEDULER]")
    main(*sys.argv[1:])
