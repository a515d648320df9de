"""Tiles: what they cover, that they fit, and that they give what the whole gives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl.network.dense_unet import ModulatedDenseUNet
from skadl.network.direct_unet import DirectUNet
from skadl.network.folded import exact_halo
from skadl.network.local_unet import LocalUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.unet import ModulatedUNet
from skadl.prediction.frame import FrameNetwork, predict_residual
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.tiling import Tiling, choose_tiling
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic, plane_views
from skadl.raw.symmetry import ENSEMBLE_SIZES, ensemble, turn, view_symmetries

ZEROS = np.zeros(4)
KINDS = (ModulatedUNet, LocalUNet, ModulatedDenseUNet, DirectUNet)


def folded_network(n_levels, seed=0, kind=ModulatedUNet):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind(3, 4, n_levels, mlp_width=4)
        torch.nn.init.normal_(network.head.weight, std=0.1)
    return network.fold(np.ones(3))


def mosaic_of(height, width, cfa="RGGB", seed=0, offset=ZEROS):
    counts = np.random.default_rng(seed).normal(size=(2 * height, 2 * width))
    counts = counts.astype(np.float32)
    return NormalisedMosaic(counts, cfa, ZEROS, 1.0, offset)


def removed_whole(folded, planes):
    """What the plain network removes from planes in one go, the mirrored edge cut."""
    height, width = planes.shape[1:]
    padding = [(0, -side % folded.multiple) for side in (height, width)]
    x = torch.from_numpy(np.pad(planes, [(0, 0), *padding], mode="reflect"))[None]
    return (x - folded(x))[0, :, :height, :width].numpy()


def memory_for(network, n_pixels):
    return network.bytes_per_pixel * (n_pixels + 0.5)


@given(
    sides=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    n_levels=st.integers(1, 4),
    room=st.floats(1, 20),
)
def test_tiles_cover_a_frame_once_with_a_halo_and_end_where_it_ends(
    sides, n_levels, room
):
    halo, multiple = exact_halo(n_levels), 2 ** (n_levels - 1)
    tiling = choose_tiling(sides, halo, multiple, room * (2 * halo + multiple) ** 2)
    covered = np.zeros(sides, int)
    padded = [side + -side % multiple for side in sides]
    for tile in tiling:
        covered[tile.rows, tile.columns] += 1
        corner, used = (tile.top, tile.left), (tile.rows, tile.columns)
        for axis in (0, 1):
            start, stop = corner[axis], corner[axis] + tiling.shape[axis]
            assert start % multiple == 0 and 0 <= start and stop <= padded[axis]
            assert used[axis].start == start == 0 or used[axis].start >= start + halo
            assert stop == padded[axis] or used[axis].stop <= stop - halo
            assert tile.core[axis].start == used[axis].start - start
    assert (covered == 1).all()
    assert len(tiling) == len(list(tiling))
    assert np.prod(tiling.shape) <= room * (2 * halo + multiple) ** 2


def test_a_frame_that_fits_little_memory_is_refused_with_figures():
    with pytest.raises(ValueError, match="smallest tile has 1024 packed .* 1000 fit"):
        choose_tiling((500, 500), halo=12, multiple=8, most_pixels=1000)


def test_a_small_frame_is_one_tile():
    assert list(choose_tiling((30, 41), 24, 4, 1e6)) == list(
        Tiling((30, 41), (32, 44), 24, 4)
    )


@pytest.mark.parametrize("kind", KINDS)
@given(
    height=st.integers(2, 75),
    width=st.integers(2, 75),
    cfa=st.sampled_from(CFA_PATTERNS),
    n_levels=st.integers(1, 3),
    room=st.floats(1, 6),
    seed=st.integers(0, 100),
)
def test_tiled_equals_whole(kind, height, width, cfa, n_levels, room, seed):
    folded = folded_network(n_levels, seed, kind)
    network, mosaic = FrameNetwork(folded, None), mosaic_of(height, width, cfa, seed)
    smallest = (2 * network.halo + network.multiple) ** 2
    tiled = predict_residual(network, mosaic, memory_for(network, room * smallest))
    whole = removed_whole(folded, mosaic.turned((False,) * 3)[:, :, :])
    target = NormalisedMosaic(tiled, cfa, ZEROS, 1.0, ZEROS).turned((False,) * 3)
    np.testing.assert_allclose(target[:, :, :], whole, atol=1e-5)


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    cfa=st.sampled_from(CFA_PATTERNS),
    n_levels=st.integers(1, 3),
    room=st.floats(1, 6),
    seed=st.integers(0, 100),
)
def test_tiles_of_all_scales_equal_whole(rows, columns, cfa, n_levels, room, seed):
    folded = folded_network(n_levels, seed, PyramidUNet)
    network = FrameNetwork(folded, None)
    sides = rows * folded.multiple, columns * folded.multiple
    mosaic = mosaic_of(*sides, cfa, seed)
    smallest = (2 * network.halo + network.multiple) ** 2
    tiled = predict_residual(network, mosaic, memory_for(network, room * smallest))
    whole = removed_whole(folded, mosaic.turned((False,) * 3)[:, :, :])
    target = NormalisedMosaic(tiled, cfa, ZEROS, 1.0, ZEROS).turned((False,) * 3)
    np.testing.assert_allclose(target[:, :, :], whole, atol=1e-5)


@given(
    height=st.integers(1, 75),
    width=st.integers(1, 75),
    room=st.floats(1, 6),
    size=st.sampled_from(ENSEMBLE_SIZES),
)
def test_tiles_of_all_scales_equal_one_tile_for_any_sides(height, width, room, size):
    network = FrameNetwork(folded_network(2, 0, PyramidUNet), None)
    mosaic = mosaic_of(height, width)
    smallest = (2 * network.halo + network.multiple) ** 2
    memory = memory_for(network, room * smallest)
    tiled = predict_residual(network, mosaic, memory, size)
    whole = predict_residual(network, mosaic, 1e9, size)
    assert np.isfinite(tiled).all()
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_halved_mosaic__any_sides__has_the_means_of_each_plane(height, width):
    mosaic = mosaic_of(height, width, "GBRG")
    padding = [(0, 0), (0, height % 2), (0, width % 2)]
    planes = np.pad(mosaic[:, :, :], padding, mode="edge")
    _, rows, columns = planes.shape
    means = planes.reshape(4, rows // 2, 2, columns // 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(mosaic.halved()[:, :, :], means, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_levels", [4, 5])
def test_tiled_equals_whole_with_deep_networks(n_levels, kind):
    folded = folded_network(n_levels, kind=kind)
    network, least = FrameNetwork(folded, None), 2 * folded.halo + folded.multiple
    mosaic = mosaic_of(max(237, least + 37), 211)  # two tiles at least
    room = memory_for(network, 224 * max(220, least))
    tiled = predict_residual(network, mosaic, room)
    whole = predict_residual(network, mosaic, memory_for(network, 1e6))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    np.testing.assert_allclose(
        pack_mosaic(whole, "RGGB"), removed_whole(folded, mosaic[:, :, :]), atol=1e-5
    )


def test_too_little_memory_for_the_smallest_tile_is_refused():
    network, mosaic = FrameNetwork(folded_network(3), None), mosaic_of(90, 90)
    needed = network.least_memory(mosaic.shape)
    predict_residual(network, mosaic, needed)
    with pytest.raises(ValueError, match="smallest tile"):
        predict_residual(network, mosaic, 0.9 * needed)


@pytest.mark.parametrize("kind", KINDS)
def test_on_another_device_batches_of_tiles_equal_whole(device, kind):
    if device.type == "cpu":
        pytest.skip("one tile at a time on a CPU")
    folded = folded_network(3, kind=kind)
    here = FrameNetwork(folded, None)
    there = FrameNetwork(folded_network(3, kind=kind).to(device), None)
    mosaic = mosaic_of(150, 131)
    tiled = predict_residual(there, mosaic, memory_for(there, 4 * 80 * 80))
    whole = predict_residual(here, mosaic, memory_for(here, 1e6))
    np.testing.assert_allclose(tiled, whole, atol=1e-3)


# Symmetries


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    symmetry=st.sampled_from(view_symmetries("RGGB")),
)
def test_a_turned_mosaic_is_an_rggb_mosaic(height, width, symmetry):
    colours = np.tile([["R", "Gr"], ["Gb", "B"]], (height, width))
    turned = turn(colours, *symmetry)
    greens = ["Gb", "Gr"] if symmetry[2] else ["Gr", "Gb"]
    for plane, colour in zip(
        plane_views(turned, "RGGB"), ["R", *greens, "B"], strict=True
    ):
        assert (plane == colour).all()


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    cfa=st.sampled_from(CFA_PATTERNS),
    seed=st.integers(0, 100),
    size=st.sampled_from(ENSEMBLE_SIZES),
)
def test_self_ensemble_is_the_mean_over_the_symmetries(height, width, cfa, seed, size):
    folded = folded_network(2)
    network = FrameNetwork(folded, None)
    mosaic = mosaic_of(height, width, cfa, seed, offset=np.array([0.1, 0.2, 0.3, 0.4]))
    result = predict_residual(network, mosaic, 1e9, self_ensemble=size)
    # The same, spelled out: every version alone, counted where it knows a pixel.
    total, count = np.zeros((2, *result.shape), np.float32)
    for symmetry in ensemble("RGGB", size):
        version = mosaic.turned(symmetry)
        if version.counts.size:
            removed = removed_whole(folded, version[:, :, :])
            total_view, count_view = (
                turn(np.flip(part, _flips(cfa)), *symmetry) for part in (total, count)
            )
            for view, plane in zip(
                plane_views(total_view, "RGGB"), removed, strict=True
            ):
                view += plane
            count_view += 1
    np.testing.assert_allclose(result, total / count, atol=1e-5)


def _flips(cfa):
    return {"RGGB": (), "GRBG": (1,), "GBRG": (0,), "BGGR": (0, 1)}[cfa]


@pytest.mark.parametrize("cfa", ["RGGB", "XTRANS-GBG"])
@pytest.mark.parametrize("size", ENSEMBLE_SIZES)
def test_the_symmetries_of_an_ensemble_are_a_group(size, cfa):
    def turned(square, mirror_rows, mirror_columns, transpose):
        square = square[::-1] if mirror_rows else square
        square = square[:, ::-1] if mirror_columns else square
        return square.T if transpose else square

    symmetries = ensemble(cfa, size)
    square = np.arange(9).reshape(3, 3)
    versions = [turned(square, *symmetry).tolist() for symmetry in symmetries]
    n_versions = len({str(version) for version in versions})
    assert n_versions == min(size, len(view_symmetries(cfa)))
    for version in versions:
        for symmetry in symmetries:
            assert turned(np.array(version), *symmetry).tolist() in versions


def test_self_ensemble_of_a_transposed_mosaic_is_the_transposed_result():
    network, mosaic = FrameNetwork(folded_network(3), None), mosaic_of(20, 31)
    result = predict_residual(network, mosaic, 1e9, self_ensemble=8)
    transposed = NormalisedMosaic(mosaic.counts.T, "RGGB", ZEROS, 1.0, ZEROS)
    np.testing.assert_allclose(
        predict_residual(network, transposed, 1e9, self_ensemble=8),
        result.T,
        atol=1e-5,
    )
    alone = predict_residual(network, mosaic, 1e9)
    assert np.abs(predict_residual(network, transposed, 1e9) - alone.T).max() > 1e-2
