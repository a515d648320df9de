"""What the tests share: tiny frames, tiny networks, and the devices at hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import settings

from skadl.adaptation.learner import Learner
from skadl.estimators.training_pairs import LOSS_WEIGHTINGS
from skadl.network.choice import build_network
from skadl.network.conditioning import Conditioning
from skadl.network.unet import ModulatedUNet
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.mosaic import CFA_PATTERNS

# The benchmarks stand in the checkout, outside the package. At the end of the path: the
# skadl that is tested is the one that is installed.
sys.path.append(str(Path(__file__).parents[1]))

# One run is like another, and leaves nothing behind.
settings.register_profile(
    "skadl", derandomize=True, database=None, deadline=None, max_examples=25
)
settings.load_profile("skadl")


@pytest.fixture(params=["cpu", "cuda"])
def device(request) -> torch.device:
    """Every device of this machine in turn."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param)


@pytest.fixture(params=CFA_PATTERNS)
def cfa(request) -> str:
    """Each of the four Bayer orders."""
    return request.param


@pytest.fixture(scope="session")
def scenes() -> list[np.ndarray]:
    """Three small coloured scenes with soft edges, in linear light."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.02, 0.9, (3, 6, 6, 3))
    fine = np.kron(coarse, np.ones((1, 8, 8, 1)))
    return list((fine + np.roll(fine, 3, axis=2)) / 2)


@pytest.fixture(scope="session")
def make_network():
    """A factory of tiny networks; `noise` says how far from untrained."""

    def make(
        n_metadata: int = 1,
        *,
        device: torch.device | str = "cpu",
        noise: float = 0.0,
        seed: int = 0,
    ) -> ModulatedUNet:
        network = build_network(n_metadata, 4, 2, 8, torch.device(device), seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise * drawn.to(device))
        return network

    return make


@pytest.fixture(scope="session")
def sensor_table() -> SensorTable:
    """Two sensors with known noise, as a fit leaves them behind."""
    noise = dict(gain={100: 0.2, 6400: 12.8}, read_noise={100: 2.0, 6400: 40.0})
    fitted = dict(**noise, iso_range=(100, 6400))
    return SensorTable(
        {
            "A": SensorInfo("RGGB", 512, 16383, **fitted),
            "B": SensorInfo("GBRG", (60, 64, 66, 70), 1023, **fitted),
        }
    )


@pytest.fixture(scope="session")
def conditioning(sensor_table) -> Conditioning:
    """Metadata vectors for the sensors of `sensor_table`."""
    return Conditioning("sensor_iso_noise", sensor_table.names)


@pytest.fixture(scope="session")
def make_learner(make_network):
    """A factory of learners on tiny networks, by default in float32."""

    def make(
        n_metadata: int = 1, *, dtype=None, weighting="none", **network
    ) -> Learner:
        network = make_network(n_metadata, **network)
        return Learner(network, dtype, 0.01, LOSS_WEIGHTINGS[weighting])

    return make


@pytest.fixture(scope="session")
def fingerprint():
    """A function that copies every weight and all that the optimizer remembers."""

    def copy_state(learner: Learner) -> list[torch.Tensor]:
        moments = learner.optimizer.state_dict()["state"]
        tensors = [*learner.network.state_dict().values()]
        for index in sorted(moments):
            tensors += [moments[index][name] for name in sorted(moments[index])]
        return [tensor.detach().cpu().clone() for tensor in tensors]

    return copy_state


@pytest.fixture(scope="session")
def benchmark():
    """A function that imports a benchmark by its name, such as speed.step."""

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")

    return load


@pytest.fixture
def session(tmp_path):
    """What the page of `skadl app` works on, in folders of its own."""
    from skadl.commands.app.session import Session

    (tmp_path / "scratch").mkdir()
    made = Session(tmp_path / "scratch", tmp_path / "out")
    yield made
    made.close()
