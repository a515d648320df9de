"""Runs on the machines of a dask cluster, through joblib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config

_SECONDS_TO_CONNECT = 10


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Let joblib send its work to the workers of a dask scheduler.

    The address is as ``tcp://host:8786``; None changes nothing. An ImportError without
    dask's ``distributed``; a RuntimeError if no scheduler answers, it has no workers,
    or a worker has several threads: runs in one process would change one another's
    number of torch threads.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            "runs on a cluster need dask, which is not installed; get it with "
            'pip install "skadl[dask]".'
        ) from error
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"no dask scheduler answers at {address!r}; start one with `dask "
            "scheduler` and give the address that it prints."
        ) from error
    with client:
        threads = client.nthreads()
        if set(threads.values()) != {1}:
            got = "has no workers" if not threads else "has workers of several threads"
            raise RuntimeError(
                f"the dask scheduler at {address!r} {got}; start them with `dask "
                f"worker {address} --nworkers N --nthreads 1`."
            )
        with parallel_config(backend="dask", client=client):
            yield
