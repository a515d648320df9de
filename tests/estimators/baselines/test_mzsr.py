"""Meta-learning on tasks whose answers are known: linear regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skadl.estimators.baselines.mzsr import meta_gradient, step_weights

RATE = 0.05


def squared_error(weights, data):
    x, y = data
    return ((x @ weights[0] - y) ** 2).mean()


def make_task(seed, slope, n_steps):
    """Support data of each step and query data, all of y = x @ slope."""
    rng = np.random.default_rng(seed)
    xs = [torch.tensor(rng.normal(size=(8, 2))) for _ in range(n_steps + 1)]
    *support, query = [(x, x @ torch.tensor(slope).double()) for x in xs]
    return support, query


def gradient(w, data):
    x, y = (array.numpy() for array in data)
    return 2 / len(x) * x.T @ (x @ w - y)


def error(w, data):
    x, y = (array.numpy() for array in data)
    return float(((x @ w - y) ** 2).mean())


@pytest.fixture
def tasks():
    return [make_task(0, [1.0, 2.0], 3), make_task(1, [3.0, -1.0], 3)]


def test_meta_gradient__linear_regression__is_the_closed_form(tasks):
    importance = np.array([0.2, 0.3, 0.5])
    start = np.array([0.5, -0.5])
    expected, loss = np.zeros(2), 0.0
    for support, query in tasks:
        w = start
        for data, part in zip(support, importance, strict=True):
            w = w - RATE * gradient(w, data)
            expected += part * gradient(w, query) / 2
            loss += part * error(w, query) / 2
    value, (found,) = meta_gradient(
        [torch.tensor(start)], squared_error, tasks, RATE, importance
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    assert value == pytest.approx(loss)


def test_meta_gradient__finite_differences__with_the_inner_steps_held(tasks):
    # First order: what the inner steps moved the weights by does not count.
    start, last = np.array([0.5, -0.5]), np.array([0.0, 0.0, 1.0])
    moved = []
    for support, _ in tasks:
        w = start
        for data in support:
            w = w - RATE * gradient(w, data)
        moved.append(w - start)

    def loss(w):
        return np.mean(
            [error(w + m, query) for m, (_, query) in zip(moved, tasks, strict=True)]
        )

    steps = 1e-6 * np.eye(2)
    expected = [(loss(start + s) - loss(start - s)) / 2e-6 for s in steps]
    _, (found,) = meta_gradient([torch.tensor(start)], squared_error, tasks, RATE, last)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_meta_training__two_opposite_tasks__ends_between_them():
    # By symmetry the meta-loss of slopes 1 and 3 is least at 2.
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    pair = [
        ([(x, x @ s)] * 2, (x, x @ s))
        for s in (torch.tensor([1.0]).double(), torch.tensor([3.0]).double())
    ]
    weight = torch.zeros(1, dtype=torch.float64)
    for _ in range(300):
        _, (step,) = meta_gradient(
            [weight], squared_error, pair, RATE, step_weights(2, 1.0)
        )
        weight = weight - 0.1 * step
    assert weight.item() == pytest.approx(2.0, abs=1e-6)


def test_meta_gradient__weights__stay(tasks):
    weight = torch.tensor([0.5, -0.5], dtype=torch.float64)
    meta_gradient([weight], squared_error, tasks, RATE, step_weights(3, 0.5))
    assert weight.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_step_weights__sum__is_one(share):
    assert step_weights(5, share).sum() == pytest.approx(1.0)
