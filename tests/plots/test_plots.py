"""Pictures show what they are given, on shared settings, without global state."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skadl.adaptation.report import (
    BatchDecision,
    DataSelectionReport,
    DecisionRecorder,
)
from skadl.datasets import camera_info, make_domain
from skadl.evaluation.metrics import psnr
from skadl.noise.calibration import calibrate_sensor
from skadl.noise.residual import transfer_curve
from skadl.noise.sensors import SensorInfo
from skadl.plots import (
    Display,
    display_settings,
    plot_acceptance,
    plot_before_after,
    plot_photon_transfer,
    render,
)
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

DAYLIGHT = np.array([0.5, 1.0, 1.0, 0.7])[:, None, None]


@pytest.fixture
def scene():
    """Return noisy, denoised and clean planes of a grey scene with one bright edge."""
    random = np.random.default_rng(0)
    grey = np.full((48, 64), 0.1)
    grey[10:20, 40:50] = 0.4
    clean = (grey * DAYLIGHT).astype(np.float32)
    noise = random.normal(scale=0.02, size=clean.shape).astype(np.float32)
    return clean + noise, clean + noise / 4, clean


@pytest.fixture
def report():
    recorder = DecisionRecorder(["A", "B: $x_{1}^$", "never offered"])
    for i in range(200):
        accepted = i % 2 == 0 and i % 4 == 0
        recorder.append(
            BatchDecision(i, "AB"[i % 2].replace("B", "B: $x_{1}^$"), (), (), accepted,
                          30.0, 31.0, "r")
        )  # fmt: skip
    return DataSelectionReport(recorder.finish())


def drawn(figure):
    """Draw a figure, so that whatever fails or warns at drawing time does it here."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    assert file.getvalue().startswith(b"\x89PNG")
    return figure


def texts(axes):
    return [text.get_text() for text in axes.texts]


# Photon transfer


def transfer_axes(pairs, info=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        info = info or calibrate_sensor(pairs)
    return drawn(plot_photon_transfer(pairs, info)).axes


def offsets(axes, marker_lines):
    """Points of the bins drawn as dots (False) or as crosses (True)."""
    return [
        points.get_offsets()
        for points in axes.collections
        if len(points.get_offsets()) and (points.get_linewidth()[0] > 0) == marker_lines
    ]


@pytest.mark.parametrize("isos", [[800], [100, 6400], list(range(100, 1300, 100))])
def test_plot_photon_transfer__points_and_lines__are_bins_and_eq_3(isos):
    pairs = make_domain("SonyA7S2", len(isos), size=32, iso=isos, random_state=0)
    info = camera_info("SonyA7S2")
    axes, *bar = transfer_axes(pairs, info)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    curves = [transfer_curve(pair) for pair in pairs]
    points = offsets(axes, False) + offsets(axes, True)
    variances = np.sort(np.concatenate(points)[:, 1])
    np.testing.assert_allclose(
        variances, np.sort(np.concatenate([curve.variance for curve in curves]))
    )
    for line in axes.get_lines():
        signal, variance = line.get_data()
        noise = [info.noise_at(iso) for iso in isos]
        gaps = [np.abs(variance / (k * signal + v) - 1).max() for k, v in noise]
        assert min(gaps) < 1e-6
    colours = {line.get_color() for line in axes.get_lines()}
    assert len(colours) == len(axes.get_lines()) <= 7
    assert len(isos) > 7 or len(colours) == len(isos)
    assert bool(bar) == (len(isos) > 7)


def test_plot_photon_transfer__odd_pair__is_crossed_and_counted():
    pairs = make_domain("NikonD850", 4, size=64, iso=800, ratio=10, random_state=0)
    honest = transfer_axes(pairs)[0]
    assert not offsets(honest, True)
    pairs[1] = RawPair(pairs[1].noisy, pairs[2].clean)
    axes = transfer_axes(pairs)[0]
    assert len(offsets(axes, True)) == 1 and len(offsets(axes, False)) == 3
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[-1] == "left out: 1 odd pair"
    assert re.fullmatch(r"ISO 800:  K \S+ ±\d+ %,  read \S+ ±\d+ %", labels[0])


def test_plot_photon_transfer__black_frames__are_drawn_at_the_left_edge():
    image = make_domain("SonyA7S2", 1, size=32, iso=800, random_state=0)[0].noisy
    dark = np.random.default_rng(0).normal(512, 4, (32, 32)).round().astype("u2")
    black = image.with_mosaic(np.full((32, 32), 512.0))
    pairs = [RawPair(image.with_mosaic(dark), black)]
    axes = transfer_axes(pairs, camera_info("SonyA7S2"))[0]
    assert "darker bins at the left edge" in axes.get_xlabel()
    (points,) = offsets(axes, False)
    assert (points[:, 0] >= axes.get_xlim()[0]).all()


def test_plot_photon_transfer__curves_and_axes__are_taken_as_they_are():
    from matplotlib.figure import Figure

    pairs = make_domain("SonyA7S2", 2, size=32, random_state=0)
    curves = [transfer_curve(pair) for pair in pairs]
    axes = Figure().add_subplot()
    figure = plot_photon_transfer(curves, camera_info("SonyA7S2"), axes)
    assert figure is axes.figure and len(axes.get_lines()) == 2


def test_plot_photon_transfer__nothing_to_draw__says_why():
    white = RawImage(np.full((32, 32), 1023.0), "RGGB", 64, 1023, "S", 100)
    info = SensorInfo("RGGB", 64, 1023, gain={100: 1}, read_noise={100: 1})
    with pytest.raises(ValueError, match="enough unclipped pixels"):
        plot_photon_transfer([RawPair(white, white)], info)
    pairs = make_domain("SonyA7S2", 1, size=32, random_state=0)
    with pytest.raises(ValueError, match="noise of this sensor is not known"):
        plot_photon_transfer(pairs, SensorInfo("RGGB", 512, 16383))


# Rendering


def srgb_inverse(encoded):
    """Decode by the standard's inverse formula, written independently of render."""
    encoded = encoded / 255
    return np.where(
        encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    )


@given(st.floats(0.0, 1.0))
def test_render__grey_value__decodes_to_itself(value):
    picture = render(np.full((4, 2, 3), value), display=Display(1.0, (1, 1, 1)))
    assert picture.shape == (2, 3, 3) and picture.dtype == np.uint8
    assert np.abs(srgb_inverse(picture) - value).max() < 0.005


@given(
    arrays(np.float32, (4, 3, 3), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(1e-3, 1e3),
)
def test_render__any_finite_planes__in_range_and_monotone(planes, exposure):
    display = Display(exposure, (2.0, 1.0, 1.5))
    picture = render(planes, display=display)
    brighter = render(np.abs(planes), display=display)
    assert (brighter >= picture).all()
    assert render(planes).shape == (3, 3, 3)


def test_render__greens__averaged():
    planes = np.array([0.3, 0.1, 0.5, 0.3]).reshape(4, 1, 1)
    assert np.ptp(render(planes, exposure=1.0, white_balance=(1, 1, 1))) == 0


def test_render__grey_scene_under_coloured_light__is_grey(scene):
    *_, clean = scene
    picture = render(clean)
    assert np.ptp(picture, axis=2).max() <= 1


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_render__raw_image__same_as_its_normalised_planes(cfa):
    mosaic = np.random.default_rng(0).integers(500, 4000, (8, 12), np.uint16)
    image = RawImage(mosaic, cfa, (500, 501, 502, 503), 4095, "A", 100, ratio=4.0)
    assert np.array_equal(render(image), render(image.normalised()))
    assert render(image).shape == (4, 6, 3)


def test_display__clipped_highlights__stay_white(scene):
    *_, clean = scene
    display = display_settings(clean)
    assert min(display.white_balance) == 1.0
    assert (render(np.ones((4, 1, 1)), display=display) == 255).all()


def test_display__scaled_image__same_picture(scene):
    *_, clean = scene
    assert np.abs(render(clean).astype(int) - render(clean / 8)).max() <= 1


def test_display__starry_sky__background_stays_middle_grey():
    sky = np.full((4, 40, 40), 0.01, np.float32)
    sky[:, 5, 5] = 1.0
    picture = render(sky)
    assert abs(int(np.median(picture)) - 118) <= 1  # sRGB of 18 % grey
    assert (picture[5, 5] == 255).all()


@pytest.mark.parametrize("level", [0.0, -0.2])
def test_display__black_image__neutral_settings(level):
    planes = np.full((4, 2, 2), level)
    assert display_settings(planes) == Display(1.0, (1.0, 1.0, 1.0))
    assert not render(planes).any()


def test_display__given_parts__kept(scene):
    *_, clean = scene
    display = display_settings(clean, white_balance=(3.0, 1.0, 2.0))
    assert display.white_balance == (3.0, 1.0, 2.0)
    assert display_settings(clean, exposure=2.5).exposure == 2.5


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 4, 4)), r"\(4, h, w\).*got an array of shape \(3, 4, 4\)"),
        (np.zeros((4, 0, 4)), r"got an array of shape \(4, 0, 4\)"),
        (np.full((4, 2, 2), np.nan), "finite"),
    ],
)
def test_render__bad_planes__refused(image, message):
    with pytest.raises(ValueError, match=message):
        render(image)


@pytest.mark.parametrize(
    "settings",
    [
        {"exposure": 0.0},
        {"exposure": np.inf},
        {"white_balance": (1.0, 2.0)},
        {"white_balance": (1.0, -1.0, 1.0)},
    ],
)
def test_render__bad_settings__refused(settings, scene):
    with pytest.raises(ValueError, match="exposure must be one positive number"):
        render(scene[0], **settings)


def test_render__display_and_a_part_of_it__refused(scene):
    with pytest.raises(ValueError, match="either display or"):
        render(scene[0], display=Display(1.0, (1, 1, 1)), exposure=2.0)


# Acceptance


def test_plot_acceptance__numbers_on_cells__are_the_fractions(report):
    axes = drawn(plot_acceptance(report, n_epochs=5)).axes[0]
    assert texts(axes) == ["50"] * 5 + ["0"] * 5
    shown = axes.images[0].get_array()
    assert np.allclose(shown, 100 * report.by_epoch(5).fraction)
    assert shown.mask[2].all() and "hatched" in axes.get_xlabel()
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "A",
        "B: $x_{1}^$",
        "never offered",
    ]


def test_plot_acceptance__many_cells__no_numbers(report):
    assert not texts(drawn(plot_acceptance(report, n_epochs=100)).axes[0])


def test_plot_acceptance__own_axes__are_used(report):
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    assert plot_acceptance(report, axes) is figure
    assert axes.images
    drawn(figure)


@pytest.mark.parametrize("domains", [(), ("A", "B")])
def test_plot_acceptance__empty_report__says_so(domains):
    empty = DataSelectionReport(DecisionRecorder(domains).finish())
    axes = drawn(plot_acceptance(empty)).axes[0]
    assert texts(axes) == ["no source batches were offered"]


# Before and after


def test_plot_before_after__with_truth__psnr_and_error_scale(scene):
    noisy, denoised, clean = scene
    axes = drawn(plot_before_after(noisy, denoised, clean)).axes
    for axis, name, image in zip(axes, ("noisy", "denoised"), scene, strict=False):
        value = psnr(np.clip(image, 0, 1), clean)
        assert axis.get_title() == f"{name}  {value:.2f} dB"
    assert axes[2].get_title() == "clean"
    errors = [axes[index].images[0] for index in (6, 7)]
    assert errors[0].get_clim() == errors[1].get_clim()
    assert np.allclose(
        errors[0].get_array(), 100 * np.abs(np.clip(noisy, 0, 1) - clean).mean(axis=0)
    )


def test_plot_before_after__pictures__share_settings_and_crop(scene):
    noisy, denoised, clean = scene
    axes = plot_before_after(noisy, denoised, clean, crop=(4, 8, 10, 20)).axes
    display = display_settings(clean)
    for column, planes in enumerate(scene):
        whole = render(planes, display=display)
        assert np.array_equal(axes[column].images[0].get_array(), whole)
        enlarged = axes[3 + column].images[0].get_array()
        assert np.array_equal(enlarged, whole[4:14, 8:28])


def test_plot_before_after__no_crop_given__enlarges_the_structure(scene):
    *_, clean = scene
    axes = drawn(plot_before_after(clean, clean)).axes
    assert len(axes) == 4
    enlarged = np.asarray(axes[2].images[0].get_array())
    assert np.ptp(enlarged) > 50  # the rest of the scene is flat


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 3, 200), (4, 200, 3), (4, 16, 16)])
def test_plot_before_after__any_shape__draws(shape):
    planes = np.random.default_rng(0).random(shape)
    drawn(plot_before_after(planes, planes / 2, planes))


def test_plot_before_after__raw_images_of_unequal_light__compared_after_ratio():
    clean = np.full((32, 32), 1600, np.uint16)
    dark = np.full((32, 32), 600, np.uint16)
    facts = ("RGGB", 500, 4095, "A", 100)
    noisy = RawImage(dark, *facts, ratio=11.0)
    axes = plot_before_after(noisy, noisy, RawImage(clean, *facts)).axes
    assert axes[0].get_title() == "noisy  96.33 dB"  # the ceiling: equal images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 0, 49, 10)}, "must lie inside the packed image of 48x64"),
        ({"crop": (-1, 0, 9, 9)}, "must lie inside"),
        ({"crop": (0, 0, 0, 9)}, "must lie inside"),
        ({"titles": ["one"]}, "got 1 titles for 3 images"),
    ],
)
def test_plot_before_after__bad_option__refused(options, message, scene):
    with pytest.raises(ValueError, match=message):
        plot_before_after(*scene, **options)


def test_plot_before_after__sizes_differ__refused(scene):
    with pytest.raises(ValueError, match="one size"):
        plot_before_after(scene[0], scene[1][:, :-1])


# Matplotlib


def test_plots__without_matplotlib__say_how_to_get_it(report, scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for plot, arguments in ((plot_acceptance, [report]), (plot_before_after, scene)):
        with pytest.raises(ImportError, match=re.escape('pip install "skadl[plot]"')):
            plot(*arguments)


def test_plots__import_and_drawing__leave_pyplot_and_settings_alone():
    code = """
import sys
import numpy as np
import skadl.plots
assert "matplotlib" not in sys.modules
skadl.plots.render(np.zeros((4, 2, 2)))
assert "matplotlib" not in sys.modules
import matplotlib
def settings():  # reading the backend would itself import pyplot
    names = set(matplotlib.rcParams) - {"backend"}
    return {name: matplotlib.rcParams[name] for name in names}
before = settings()
planes = np.random.default_rng(0).random((4, 20, 20))
skadl.plots.plot_before_after(planes, planes, planes)
assert "matplotlib.pyplot" not in sys.modules
assert before == settings()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
