"""The public datasets that skadl reads: where they are, and what to expect there.

A new dataset is an entry here, and a module with its reader: `skadl.datasets`, the
list of `skadl datasets` and the benchmark find it by the entry. Nothing but the
standard library is imported until a reader is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skadl.datasets.dataset_pairs import DatasetPairs

_OF_THE_CODE = ("module", "comparison")  # fields that tell nothing of the dataset


@dataclass(frozen=True)
class Comparison:
    """How methods are compared on a dataset: what is read, tested on and scored."""

    name: str  # as in `--dataset NAME`
    protocol: str  # of skadl.evaluation.protocols
    test_rule: str = "every second scene"
    test_scenes: tuple[str, ...] = ()  # how their names begin; none: every second
    parts: tuple[Mapping[str, Any], ...] = ({},)  # the reader's options for each

    def choose_test(self, scenes: Sequence[Hashable]) -> list[Hashable]:
        """Those of a sensor's scenes, in order, that are tested on."""
        if not self.test_scenes:
            return list(scenes[1::2])
        return [scene for scene in scenes if str(scene).startswith(self.test_scenes)]


@dataclass(frozen=True)
class DatasetFacts:
    """What to know of a public dataset before getting it, and how it is read.

    Parameters
    ----------
    name, title : str
        Short name, and what it is.
    reader : str
        Call that reads it.
    module : str
        Where that reader is defined; `skadl.datasets` offers it from there.
    obtain : tuple of str
        Addresses, the authors' own first.
    licence : str
    size : str
        Size on the way and number of files or pairs.
    layout : tuple of str
        Paths of some files, as they lie once unpacked.
    cameras : str
        Sensors, by their names in skadl.
    extra : str or None
        Extra of skadl that reading takes.
    notes : tuple of str
        What to mind.
    source : str
        Where these facts are from.
    comparison : Comparison, optional
        How the benchmark uses it; None where it does not.
    """

    name: str
    title: str
    reader: str
    obtain: tuple[str, ...]
    licence: str
    size: str
    layout: tuple[str, ...]
    cameras: str
    extra: str | None
    notes: tuple[str, ...]
    source: str
    module: str = field(kw_only=True)
    comparison: Comparison | None = field(default=None, kw_only=True)

    @property
    def reader_name(self) -> str:
        """Name of the reader in `skadl.datasets`."""
        return self.reader.removeprefix("skadl.datasets.").partition("(")[0]

    def load_reader(self) -> Callable[..., DatasetPairs]:
        """Import the function that reads the dataset.

        Returns
        -------
        callable
            Takes the root and options of its own.
        """
        return getattr(import_module(self.module), self.reader_name)

    def to_dict(self) -> dict[str, Any]:
        """Give the facts to a script.

        Returns
        -------
        dict
            Plain JSON types, by the names of the fields that tell of the dataset.
        """
        told = {k: v for k, v in asdict(self).items() if k not in _OF_THE_CODE}
        return json.loads(json.dumps(told))

    def to_text(self) -> str:
        """Describe the dataset for a terminal.

        Returns
        -------
        str
            Several lines, without a final line break.
        """
        rows = [
            ("read with", self.reader),
            *(("get it from", address) for address in self.obtain),
            ("licence", self.licence),
            ("size", self.size),
            *(("layout", path) for path in self.layout),
            ("cameras", self.cameras),
            ("needs", f"pip install 'skadl[{self.extra}]'" if self.extra else ""),
            *(("mind", note) for note in self.notes),
            ("source", self.source),
        ]
        lines, before = [f"{self.name}: {self.title}"], ""
        for label, value in rows:
            if value:
                lines.append(f"  {'' if label == before else label:<12}{value}")
                before = label
        return "\n".join(lines)


_ELD_REPOSITORY = "https://github.com/Vandermode/ELD"
_SID_REPOSITORY = "https://github.com/cchen156/Learning-to-See-in-the-Dark"
_SIDD_PAGES = (
    "https://abdokamel.github.io/sidd/",
    "https://www.eecs.yorku.ca/~kamel/sidd/dataset.php",
)
_SIDD_LICENCE = "terms of use on its page; read them there"

DATASETS = (
    DatasetFacts(
        name="SID",
        title="See-in-the-Dark, Sony half: short and long exposures of dark scenes",
        reader="skadl.datasets.load_sid(root, split='train')",
        module="skadl.datasets.sid",
        obtain=(_SID_REPOSITORY,),
        licence="MIT, by the repository's README; none is named for the pictures alone",
        size="25 GB: 2697 pairs of 231 long frames (1865 train, 234 val, 598 test)",
        layout=(
            "Sony/short/00001_00_0.04s.ARW",
            "Sony/long/00001_00_10s.ARW",
            "Sony_train_list.txt (of the repository; names what should be there)",
        ),
        cameras="SonyA7S2",
        extra=None,
        notes=(
            "keep a copy: since September 2025 the authors ask not to download twice",
            "scenes 10034, 10045 and 10172 are misaligned and left out by default",
            'the Fuji half (52 GB, 2397 X-Trans pairs): load_sid(root, camera="Fuji")',
        ),
        source=f"{_SID_REPOSITORY} README.md and dataset/*_list.txt",
        comparison=Comparison(
            "sid",
            protocol="sid",
            # First digits of the names in the authors' test and val splits.
            test_scenes=("SID-1", "SID-2"),
            test_rule="the authors' val and test",
            parts=({"split": "train"}, {"split": "eval", "burst": "first"}),
        ),
    ),
    DatasetFacts(
        name="ELD",
        title="Extreme Low-light Denoising: a test set of five cameras, ten scenes",
        reader="skadl.datasets.load_eld(root)",
        module="skadl.datasets.eld",
        obtain=(_ELD_REPOSITORY,),
        licence="MIT for the repository; none is named for the pictures",
        size="not stated by its authors; 16 files per scene, 240 pairs in the paper",
        layout=(
            "ELD/SonyA7S2/scene-1/IMG_0001.ARW to IMG_0016.ARW",
            "ELD/NikonD850/scene-1/IMG_0001.nef",
            "ELD/CanonEOS70D/scene-1/IMG_0001.CR2",
        ),
        cameras="CanonEOS5D4, CanonEOS70D, CanonEOS700D, NikonD850, SonyA7S2",
        extra=None,
        notes=(
            "get the release of January 2022 or later: two scenes of the first one "
            "had 17 and 18 files (issue 21 there)",
        ),
        source=f"{_ELD_REPOSITORY} README.md, test_ELD.py and issue 21",
        comparison=Comparison("eld", protocol="eld"),
    ),
    DatasetFacts(
        name="SIDD-Small and SIDD-Medium",
        title="Smartphone Image Denoising Dataset, raw: five phones, ten scenes",
        reader="skadl.datasets.load_sidd(root)",
        module="skadl.datasets.sidd.load",
        obtain=_SIDD_PAGES,
        licence=_SIDD_LICENCE,
        size=(
            "Medium, raw only: about 20 GB, 320 pairs of 160 instances; Small, raw "
            "only: 160 pairs, so about half of it"
        ),
        layout=(
            "SIDD_Medium_Raw/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_RAW_010.MAT",
            "SIDD_Medium_Raw/Data/0001_001_S6_00100_00060_3200_L/0001_GT_RAW_010.MAT",
            "SIDD_Small_Raw_Only/Data/0001_001_S6_00100_00060_3200_L/NOISY_RAW_010.MAT",
        ),
        cameras="G4, GP, IP, N6, S6",
        extra="sidd",
        notes=(
            "the pages are not always up, and 34 of the 200 bursts are served no more",
            "the S6 clipped at black on the device, by SIDD-CC: dark pixels are biased",
            "all phones share the ten scenes; split by RawPair.scene",
        ),
        source=(
            "Abdelhamed, Lin and Brown, CVPR 2018; sizes as quoted by its users; "
            "the page of SIDD-CC"
        ),
        comparison=Comparison(
            "sidd",
            protocol="sidd",
            # Those of zhangyi-3/Noise-Synthesis, test.py.
            test_scenes=("SIDD-002", "SIDD-003", "SIDD-005"),
            test_rule="scenes 002, 003 and 005",
        ),
    ),
    DatasetFacts(
        name="SIDD validation blocks",
        title="40 held-out images of SIDD, 32 blocks of 256 x 256 of each",
        reader="skadl.datasets.load_sidd(root, split='blocks')",
        module="skadl.datasets.sidd.load",
        obtain=("https://www.eecs.yorku.ca/~kamel/sidd/benchmark.php",),
        licence=_SIDD_LICENCE,
        size="about 0.6 GB with its metadata: 1280 pairs of blocks",
        layout=("ValidationNoisyBlocksRaw.mat", "ValidationGtBlocksRaw.mat"),
        cameras="G4, GP, IP, N6, S6",
        extra=None,
        notes=(
            "the files name neither phone nor Bayer order; the order of the held-out "
            "instances tells, by public code",
            "the clean half of the benchmark itself was never published",
        ),
        source="zejinwang/Blind2Unblind; the size as its users report it",
    ),
    DatasetFacts(
        name="SIDD-CC",
        title="SIDD with the clean frames estimated anew, black subtracted unclipped",
        reader="skadl.datasets.load_sidd('Raw/train'); split='blocks' for 'Raw/test'",
        module="skadl.datasets.sidd.load",
        obtain=("https://huggingface.co/datasets/MhdMohammadi/SIDD-CC",),
        licence="sidd-terms-of-use, by its page",
        size="23 GB raw: 115 instances to train, 29 to test",
        layout=(
            "Raw/train/Scene_Instances.txt",
            "Raw/train/Data/0017_001_GP_00100_00060_5500_N/*.MAT",
            "Raw/test/BenchmarkNoisyBlocksRaw.mat, test_scenes_info.txt",
        ),
        cameras="G4, GP, IP, N6, S6",
        extra="sidd",
        notes=(
            "its splits are not those of SIDD",
            "the names of the blocks' files are inferred from SIDD's",
        ),
        source="its page, read in 2026; arXiv 2607.11090",
    ),
)
"""Facts of each public dataset, in the order of `skadl datasets`."""
