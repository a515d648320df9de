"""SIDD on disk: layouts, Bayer orders, MATLAB files, blocks, and what is missing."""

from __future__ import annotations

import pickle
import sys
from collections import Counter

import h5py
import numpy as np
import pytest
from dataset_files import write_mat73, write_metadata
from scipy.io import savemat

from skadl import SensorInfo
from skadl.datasets import Missing, load_sidd, read_sidd_metadata
from skadl.datasets.sidd.instances import (
    PHONE_CFA,
    held_out_instances,
    in_split,
    parse_instance,
    released_instances,
)
from skadl.datasets.sidd.matfile import read_mat
from skadl.raw.mosaic import unpack_mosaic

S6, GP, IP, N6, G4 = INSTANCES = (
    "0013_001_S6_03200_01250_3200_L",
    "0034_002_GP_00100_00160_3200_N",
    "0028_001_IP_00100_00160_5500_N",
    "0054_003_N6_00100_00160_5500_N",
    "0057_003_G4_00100_00125_5500_L",
)
# Independent of the package: seven public codes agree on them.
CFA = {"GP": "BGGR", "IP": "RGGB", "S6": "GRBG", "N6": "BGGR", "G4": "BGGR"}
MEANS = (0.2, 0.4, 0.42, 0.3)  # of R, Gr, Gb, B


def mosaic(cfa="RGGB", seed=0, shape=(8, 12)):
    """A mosaic, wider than high, whose planes have the means above, and noise."""
    rng = np.random.default_rng(seed)
    planes = np.reshape(MEANS, (4, 1, 1)) + rng.normal(
        0, 0.01, (4, shape[0] // 2, shape[1] // 2)
    )
    return unpack_mosaic(planes, cfa).astype(np.float32)


def write_instance(data, name, frames=(10,), *, prefix=True, cfa=None):
    """Write the noisy and clean frames of an instance; returns its folder."""
    number = f"{name[:4]}_" if prefix else ""
    for frame in frames:
        for seed, role in enumerate(("NOISY", "GT")):
            path = data / name / f"{number}{role}_RAW_{frame:03d}.MAT"
            write_mat73(path, mosaic(cfa or CFA[name[9:11]], seed))
    return data / name


@pytest.fixture
def small(tmp_path):
    """SIDD-Small with one instance of each phone; no numbers in the file names."""
    for name in INSTANCES:
        write_instance(tmp_path / "SIDD_Small_Raw_Only/Data", name, prefix=False)
    return tmp_path / "SIDD_Small_Raw_Only"


@pytest.fixture
def medium(tmp_path):
    """SIDD-Medium with one instance of each phone, frames 10 and 11."""
    for name in INSTANCES:
        write_instance(tmp_path / "SIDD_Medium_Raw/Data", name, (10, 11))
    return tmp_path / "SIDD_Medium_Raw"


def instances_of(loaded):
    return [pair.noisy.path.parent.name for pair in loaded]


# Names and splits


def test_instance_names__say_phone_iso_scene_and_light():
    instance = parse_instance("0001_001_S6_00100_00060_3200_L")
    assert (instance.number, instance.scene, instance.phone) == (1, "001", "S6")
    assert (instance.iso, instance.shutter, instance.illuminant) == (100, 60, 3200)
    assert instance.brightness == "L"
    for name in (*released_instances(), *held_out_instances()):
        instance = parse_instance(name)
        assert instance.phone == name[9:11] and instance.iso == int(name[12:17])


def test_released_instances__counts_by_phone_and_iso_are_the_published_ones():
    instances = [parse_instance(name) for name in released_instances()]
    phones = Counter(instance.phone for instance in instances)
    assert phones == {"G4": 16, "N6": 22, "GP": 33, "S6": 35, "IP": 54}
    s6 = Counter(instance.iso for instance in instances if instance.phone == "S6")
    assert s6 == {100: 14, 200: 1, 400: 3, 800: 6, 1600: 4, 3200: 7}
    g4 = Counter(instance.iso for instance in instances if instance.phone == "G4")
    assert g4 == {100: 8, 200: 1, 400: 3, 800: 4}
    assert len({instance.scene for instance in instances}) == 10


def test_held_out_instances__are_the_40_numbers_that_are_not_released():
    numbers = {int(name[:4]) for name in released_instances()}
    held_out = [int(name[:4]) for name in held_out_instances()]
    assert len(numbers) == 160 and len(held_out) == 40
    assert numbers | set(held_out) == set(range(1, 201))
    assert held_out == sorted(held_out)
    assert held_out[:6] == [9, 21, 24, 26, 31, 37] and held_out[-1] == 187


def test_splits__have_the_published_sizes_and_do_not_overlap():
    instances = [parse_instance(name) for name in released_instances()]
    zhang = [i for i in instances if in_split(i, "zhang-test")]
    assert Counter(i.phone for i in zhang) == {"S6": 7, "GP": 12, "IP": 17}
    assert 2 * len(zhang) == 72  # frames 10 and 11
    assert {i.scene for i in zhang} == {"002", "003", "005"}
    train = {i.number for i in instances if in_split(i, "noise_flow-train")}
    test = {i.number for i in instances if in_split(i, "noise_flow-test")}
    assert (len(train), len(test)) == (62, 22) and not train & test
    assert all(in_split(i, "all") for i in instances)


def test_load_sidd__split_phones_scenes__choose_instances(small):
    assert instances_of(load_sidd(small)) == sorted(INSTANCES)
    assert instances_of(load_sidd(small, split="zhang-test")) == [GP]
    assert instances_of(load_sidd(small, split="noise_flow-test")) == [N6, G4]
    assert instances_of(load_sidd(small, phones=["S6", "IP"])) == [S6, IP]
    assert instances_of(load_sidd(small, scenes=[3], phones=["G4"])) == [G4]


# Layouts and facts


@pytest.mark.parametrize("at", [".", "Data", ".."])
def test_load_sidd__small__one_pair_each_from_any_folder_above(small, at):
    loaded = load_sidd(small / at)
    assert len(loaded) == 5
    assert {pair.noisy.path.name for pair in loaded} == {"NOISY_RAW_010.MAT"}
    assert {pair.clean.path.name for pair in loaded} == {"GT_RAW_010.MAT"}


def test_load_sidd__medium__two_frames_of_one_instance_share_a_group(medium):
    loaded = load_sidd(medium)
    assert len(loaded) == 10
    assert loaded[0].noisy.path.name == "0013_NOISY_RAW_010.MAT"
    assert loaded[1].clean.path.name == "0013_GT_RAW_011.MAT"
    for group in ("scene", "instance"):
        groups = load_sidd(medium, group=group).groups
        assert groups[0::2] == groups[1::2]


def test_load_sidd__frames__are_chosen_and_missed(medium):
    assert len(load_sidd(medium, frames=[11])) == 5
    loaded = load_sidd(medium, frames=[10, 12], phones=["S6"])
    reasons = {found.path.name: found.reason for found in loaded.missing}
    assert len(loaded) == 1
    assert reasons[S6] == "NOISY_RAW_012, GT_RAW_012 missing."


def test_load_sidd__full__frames_lie_in_sub_folders(tmp_path):
    folder = tmp_path / "SIDD" / S6
    for role in ("NOISY", "GT", "VARIANCE"):
        for frame in (1, 10, 150):
            name = f"0013_{role}_RAW"
            write_mat73(folder / name / f"{name}_{frame:03d}.MAT", mosaic("GRBG"))
    loaded = load_sidd(tmp_path, phones=["S6"])
    assert [p.noisy.path.stem[-3:] for p in loaded] == ["001", "010", "150"]


def test_load_sidd__scenes__are_shared_by_phones_unless_grouped_by_instance(small):
    loaded = load_sidd(small)
    groups = dict(zip(instances_of(loaded), loaded.groups, strict=True))
    assert groups[S6] == groups[IP] == "SIDD-001"  # leak-free across phones
    assert groups[N6] == groups[G4] == "SIDD-003"
    by_instance = load_sidd(small, group="instance").groups
    assert len(set(by_instance)) == 5 and by_instance[0] == "SIDD-001-0013"


def test_load_sidd__facts__come_from_the_name_and_need_no_file(small):
    loaded = load_sidd(small)
    for pair in loaded:
        pair.noisy.path.unlink()
    for name, pair in zip(sorted(INSTANCES), loaded, strict=True):
        assert pair.sensor == name[9:11] and pair.iso == int(name[12:17])
        assert pair.noisy.cfa == pair.clean.cfa == CFA[name[9:11]]
        assert (pair.noisy.black_level, pair.noisy.white_level) == (0, 1)
        assert pair.ratio == 1
    assert set(loaded.by_sensor()) == set(CFA) == set(PHONE_CFA)


@pytest.mark.parametrize("name", INSTANCES, ids=lambda name: name[9:11])
def test_load_sidd__packed__has_each_colour_in_its_plane(small, name):
    (pair,) = load_sidd(small, phones=[name[9:11]])
    for seed, image in enumerate((pair.noisy, pair.clean)):
        np.testing.assert_array_equal(image.mosaic, mosaic(CFA[name[9:11]], seed))
        means = image.normalised().mean(axis=(1, 2))
        np.testing.assert_allclose(means, MEANS, atol=0.02)


def test_load_sidd__values__nan_becomes_0_and_nothing_is_clipped(tmp_path):
    # SIDD-CC keeps what is below black.
    folder = write_instance(tmp_path, S6)
    odd = mosaic("GRBG")
    odd[0, :6] = [np.nan, -0.05, 1.2, np.inf, -np.inf, 0.5]
    write_mat73(folder / "0013_NOISY_RAW_010.MAT", odd)
    (pair,) = load_sidd(tmp_path, phones=["S6"])
    np.testing.assert_allclose(
        pair.noisy.mosaic[0, :6], [0, -0.05, 1.2, 1, 0, 0.5], rtol=1e-6
    )
    assert pair.noisy.mosaic.dtype == np.float32


def test_load_sidd__pair__pickles_and_is_read_afterwards(small):
    pair = pickle.loads(pickle.dumps(load_sidd(small)[0]))
    np.testing.assert_array_equal(pair.noisy.mosaic, mosaic("GRBG", 0))


# The Bayer order


def test_load_sidd__wrong_order__says_so_when_the_frame_is_read(tmp_path):
    # Greens where red and blue should be: BGGR taken for GRBG.
    write_instance(tmp_path, S6, cfa="BGGR")
    (pair,) = load_sidd(tmp_path, phones=["S6"])
    with pytest.raises(ValueError, match=r"is no GRBG mosaic.*cfa=\{'S6'"):
        pair.noisy.mosaic  # noqa: B018
    (pair,) = load_sidd(tmp_path, phones=["S6"], cfa={"S6": "BGGR"})
    np.testing.assert_allclose(pair.noisy.packed().mean(axis=(1, 2)), MEANS, atol=0.02)


def test_load_sidd__grey_or_dark_mosaic__passes_in_any_order(tmp_path):
    folder = write_instance(tmp_path, S6)
    for value in (0.5, 0.001):
        flat = np.full((8, 12), value, np.float32)
        write_mat73(folder / "0013_NOISY_RAW_010.MAT", flat)
        (pair,) = load_sidd(tmp_path, phones=["S6"])
        assert pair.noisy.mosaic.shape == (8, 12)


def test_load_sidd__order_from_metadata__replaces_the_table(tmp_path):
    folder = write_instance(tmp_path, S6, cfa="GBRG")
    write_metadata(folder / "0013_METADATA_RAW_010.MAT", iso=3200, cfa="GBRG")
    (pair,) = load_sidd(tmp_path, phones=["S6"], cfa="metadata")
    assert pair.noisy.cfa == "GBRG"


@pytest.mark.parametrize(
    ("iso", "cfa", "reason"),
    [(100, "GRBG", "says ISO 100 and the folder 3200"), (3200, "RRGB", "not tell")],
)
def test_load_sidd__metadata_that_contradicts__is_a_problem(tmp_path, iso, cfa, reason):
    folder = write_instance(tmp_path, S6)
    write_metadata(folder / "0013_METADATA_RAW_010.MAT", iso=iso, cfa=cfa)
    loaded = load_sidd(tmp_path, phones=["S6"], cfa="metadata")
    found = [found for found in loaded.problems if found.path.name == S6]
    assert len(loaded) == 0 and reason in found[0].reason


def test_load_sidd__no_metadata__is_a_problem_where_it_is_needed(small):
    loaded = load_sidd(small, phones=["S6"], cfa="metadata")
    reasons = {found.path.name: found.reason for found in loaded.problems}
    assert len(loaded) == 0 and "METADATA missing" in reasons[S6]


@pytest.mark.parametrize("place", ["file", "first sub-file", "second sub-file"])
def test_read_sidd_metadata__iso_order_and_noise__wherever_the_phone_put_them(
    tmp_path, place
):
    path = write_metadata(
        tmp_path / "m.MAT", iso=800, cfa="BGGR", noise=(1.764e-3, 1.2e-5), place=place
    )
    metadata = read_sidd_metadata(path)
    assert (metadata.iso, metadata.cfa) == (800, "BGGR")
    assert metadata.noise == (1.764e-3, 1.2e-5)


def test_read_sidd_metadata__noise__is_gain_and_read_variance_of_a_sensor(tmp_path):
    metadata = read_sidd_metadata(write_metadata(tmp_path / "m.MAT"))
    shot, read = metadata.noise
    info = SensorInfo(metadata.cfa, 0, 1, gain={100: shot}, read_noise={100: read**0.5})
    assert info.noise_at(100) == pytest.approx((2e-3, 1e-5))


def test_read_sidd_metadata__nothing_in_it__gives_none(tmp_path):
    savemat(tmp_path / "m.MAT", {"metadata": {"Make": "Apple"}})
    metadata = read_sidd_metadata(tmp_path / "m.MAT")
    assert (metadata.iso, metadata.cfa, metadata.noise) == (None, None, None)
    savemat(tmp_path / "m.MAT", {"y": 1})
    with pytest.raises(ValueError, match="no structure 'metadata'"):
        read_sidd_metadata(tmp_path / "m.MAT")


# MATLAB files


def test_read_mat__version_73__is_as_matlab_shows_it(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = write_mat73(tmp_path / "a.MAT", array)
    with h5py.File(path) as file:
        assert file["x"].shape == (4, 3)  # what h5py makes of it
    np.testing.assert_array_equal(read_mat(path), array)


def test_read_mat__old_format__needs_no_h5py(tmp_path, without_h5py):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    savemat(tmp_path / "a.mat", {"x": array, "y": np.ones(2)})
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat"), array)


@pytest.mark.parametrize("transposed", [False, True])
def test_read_mat__hdf5_not_by_matlab__is_turned_to_landscape(tmp_path, transposed):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    with h5py.File(tmp_path / "a.MAT", "w") as file:
        file["x"] = array.T if transposed else array
    np.testing.assert_array_equal(read_mat(tmp_path / "a.MAT", landscape=True), array)


@pytest.mark.parametrize("keep", [0.4, 0.9])
@pytest.mark.parametrize("version", ["old", "7.3"])
def test_read_mat__cut_off__is_one_sentence(tmp_path, keep, version):
    path = tmp_path / "a.MAT"
    array = np.random.default_rng(0).uniform(size=(40, 50))
    if version == "old":
        savemat(path, {"x": array})
    else:
        write_mat73(path, array)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"a.MAT is .*; download it again\."):
        read_mat(path)


def test_read_mat__several_arrays_and_no_x__names_them(tmp_path):
    savemat(tmp_path / "a.mat", {"u": np.ones(2), "v": np.ones(2)})
    with pytest.raises(ValueError, match=r"\['u', 'v'\]"):
        read_mat(tmp_path / "a.mat")


@pytest.fixture
def without_h5py(monkeypatch):
    """An installation without the extra."""
    monkeypatch.setitem(sys.modules, "h5py", None)


def test_load_sidd__without_h5py__says_what_to_install(small, without_h5py):
    with pytest.raises(ImportError, match=r'pip install "skadl\[sidd\]"'):
        load_sidd(small)


# What is missing


def test_load_sidd__released_instances_not_there__are_listed_by_name(small):
    loaded = load_sidd(small)
    listed = [found.path.name for found in loaded.missing]
    assert sorted([*listed, *INSTANCES]) == sorted(released_instances())
    wanted = load_sidd(small, phones=["G4"], scenes=[3]).missing
    assert [found.path.name for found in wanted] == ["0059_003_G4_00800_01000_5500_L"]


def test_load_sidd__scene_instances_file__says_what_there_should_be(small):
    # As in SIDD-CC, whose instances are not those of SIDD.
    (small / "Scene_Instances.txt").write_text(
        "\n".join(
            [*INSTANCES, "0018_001_GP_00100_00160_5500_L", held_out_instances()[0]]
        )
    )
    assert [found.path.name for found in load_sidd(small).missing] == [
        "0018_001_GP_00100_00160_5500_L"
    ]


def test_load_sidd__files_missing_or_cut_off__are_named_by_instance(medium):
    (medium / "Scene_Instances.txt").write_text(" ".join(INSTANCES))
    assert load_sidd(medium).problems == ()
    data = medium / "Data"
    for role in ("NOISY", "GT", "METADATA"):
        (data / GP / f"0034_{role}_RAW_011.MAT").unlink(missing_ok=True)
    (data / IP / "0028_GT_RAW_010.MAT").unlink()
    cut = data / N6 / "0054_NOISY_RAW_010.MAT"
    cut.write_bytes(cut.read_bytes()[:1500])
    (data / G4 / "0057_GT_RAW_011.MAT").write_bytes(b"")
    loaded = load_sidd(medium)
    reasons = {
        found.path.name: (found.reason, isinstance(found, Missing))
        for found in loaded.problems
    }
    assert reasons[GP] == ("NOISY_RAW_011, GT_RAW_011 missing.", True)
    assert reasons[IP] == ("GT_RAW_010 missing.", True)
    assert "0054_NOISY_RAW_010.MAT is damaged or incomplete" in reasons[N6][0]
    assert "0057_GT_RAW_011.MAT is empty" in reasons[G4][0]
    assert not reasons[N6][1] and not reasons[G4][1]
    assert Counter(instances_of(loaded)) == {S6: 2, GP: 1, IP: 1, N6: 1, G4: 1}


def test_load_sidd__empty_folder_of_an_instance__misses_its_frame(small):
    (small / "Data" / "0018_001_GP_00100_00160_5500_L").mkdir()
    missing = {found.path.name: found.reason for found in load_sidd(small).missing}
    assert missing["0018_001_GP_00100_00160_5500_L"] == (
        "NOISY_RAW_010, GT_RAW_010 missing."
    )


def test_load_sidd__small_beside_medium__is_refused(small, medium):
    with pytest.raises(ValueError, match=f"{S6} twice"):
        load_sidd(small.parent)


def test_load_sidd__wrong_folder__says_what_it_looked_for(tmp_path):
    for root in (tmp_path, tmp_path / "no"):
        with pytest.raises(FileNotFoundError, match="skadl datasets"):
            load_sidd(root)


@pytest.mark.parametrize(
    "options",
    [
        {"split": "train"},
        {"phones": ["iPhone"]},
        {"phones": "S6"},
        {"scenes": [11]},
        {"frames": [0]},
        {"group": "phone"},
        {"cfa": "RGGB"},
        {"cfa": {"X": "RGGB"}},
    ],
)
def test_load_sidd__unknown_option__is_refused(small, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load_sidd(small, **options)


# Blocks


def write_blocks(folder, kind="Validation", n_images=40, version="old", names=None):
    """Block files; the value of a block says image, block and role."""
    folder.mkdir(parents=True, exist_ok=True)
    index = np.arange(n_images * 2).reshape(n_images, 2, 1, 1) / 1000
    cell = np.linspace(0, 1e-4, 24).reshape(4, 6)
    for offset, role in ((0.0, "Gt"), (0.2, "Noisy")):
        name = f"{kind}{role}BlocksRaw"
        blocks = (index + offset + cell).astype(np.float32)
        if version == "old":
            savemat(folder / f"{name}.mat", {name: blocks})
        else:
            write_mat73(folder / f"{name}.mat", blocks, name)
    if names:
        text = "\n".join(f"{i}: {name}" for i, name in enumerate(names))
        (folder / "test_scenes_info.txt").write_text(text)
    return cell


@pytest.mark.parametrize("version", ["old", "7.3"])
def test_load_sidd__blocks__have_order_and_iso_of_the_held_out_instances(
    tmp_path, version
):
    cell = write_blocks(tmp_path / "SIDD_Validation", version=version)
    loaded = load_sidd(tmp_path, split="blocks")
    assert len(loaded) == 80
    for index, name in enumerate(held_out_instances()):
        for block, pair in enumerate(loaded[2 * index : 2 * index + 2]):
            assert (pair.sensor, pair.iso) == (name[9:11], int(name[12:17]))
            assert pair.noisy.cfa == CFA[name[9:11]]
            assert pair.scene == f"SIDD-{name[5:8]}"
            clean = (2 * index + block) / 1000 + cell
            np.testing.assert_allclose(pair.clean.mosaic, clean, atol=1e-6)
            np.testing.assert_allclose(pair.noisy.mosaic, clean + 0.2, atol=1e-6)


def test_load_sidd__blocks__a_bggr_block_is_not_packed_as_it_lies(tmp_path):
    # Blind2Unblind unshuffles without unification: blue would come first.
    write_blocks(tmp_path)
    loaded = load_sidd(tmp_path, split="blocks", phones=["GP"])
    packed = loaded[0].noisy.packed()
    np.testing.assert_array_equal(packed[0], loaded[0].noisy.mosaic[1::2, 1::2])
    np.testing.assert_array_equal(packed[3], loaded[0].noisy.mosaic[0::2, 0::2])


def test_load_sidd__blocks_of_sidd_cc__are_named_by_the_text_beside(tmp_path):
    names = [held_out_instances()[5], G4, IP]
    write_blocks(tmp_path / "Raw/test", "Benchmark", 3, names=names)
    loaded = load_sidd(tmp_path / "Raw", split="blocks", group="instance")
    assert [pair.sensor for pair in loaded[::2]] == ["GP", "G4", "IP"]
    assert loaded.groups[::2] == ["SIDD-002-0037", "SIDD-003-0057", "SIDD-001-0028"]


def test_load_sidd__blocks_of_unknown_instances__ask_for_their_names(tmp_path):
    write_blocks(tmp_path, "Benchmark", 3)
    with pytest.raises(ValueError, match="holds 3 images.*test_scenes_info.txt"):
        load_sidd(tmp_path, split="blocks")


def test_load_sidd__clean_blocks_missing__says_so(tmp_path):
    write_blocks(tmp_path, "Benchmark")
    (tmp_path / "BenchmarkGtBlocksRaw.mat").unlink()
    with pytest.raises(FileNotFoundError, match="were never published"):
        load_sidd(tmp_path, split="blocks")


def test_load_sidd__blocks_of_two_shapes_or_kinds__are_refused(tmp_path):
    write_blocks(tmp_path)
    path = tmp_path / "ValidationGtBlocksRaw.mat"
    savemat(path, {"b": np.zeros((40, 3, 4, 6), np.float32)})
    with pytest.raises(ValueError, match="do not belong together"):
        load_sidd(tmp_path, split="blocks")
    savemat(path, {"b": np.zeros((40, 4, 6), np.uint8)})
    with pytest.raises(ValueError, match="not floats of shape"):
        load_sidd(tmp_path, split="blocks")


def test_load_sidd__blocks_by_scene_or_frame__is_refused(tmp_path):
    with pytest.raises(ValueError, match="chosen by phone alone"):
        load_sidd(tmp_path, split="blocks", scenes=[1])
