"""The 200 scene instances of SIDD: what their names say, and the field's splits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PHONES = {
    "G4": "LG G4",
    "GP": "Google Pixel",
    "IP": "Apple iPhone 7",
    "N6": "Motorola Nexus 6",
    "S6": "Samsung Galaxy S6 Edge",
}
"""Codes of the phones, which are the names of the sensors here."""

PHONE_CFA = {"G4": "BGGR", "GP": "BGGR", "IP": "RGGB", "N6": "BGGR", "S6": "GRBG"}
"""Bayer order by phone; see the notes of `load_sidd` on S6."""

SPLITS = ("all", "zhang-test", "noise_flow-train", "noise_flow-test", "blocks")

BLACK_LEVEL, WHITE_LEVEL = 0.0, 1.0  # the files are scaled between them already

INSTANCE_NAME = re.compile(
    r"(\d{4})_(\d{3})_(G4|GP|IP|N6|S6)_(\d{5})_(\d{5})_(\d{4})_([LNH])"
)

# zhangyi-3/Noise-Synthesis, test.py.
_ZHANG_SCENES, _ZHANG_PHONES = ("002", "003", "005"), ("GP", "IP", "S6")
# Instance numbers in sidd/train_inst.csv and test_inst.csv of BorealisAI/noise_flow.
_NOISE_FLOW = {
    "noise_flow-train": (
        "4 11 13 22 23 25 27-30 34 35 39 40 42-45 47 81 86 88 90 101 102 104 105 110 "
        "111 114-117 125-127 129 132 134-138 140 175 177-181 184-186 188-194 196 197"
    ),
    "noise_flow-test": (
        "54 55 57 59 60 62 63 66 150-152 154 155 159-161 163-166 198 199"
    ),
}


@dataclass(frozen=True)
class SiddInstance:
    """One scene instance: a scene under one light, by one phone at one setting."""

    name: str  # of its folder, as 0001_001_S6_00100_00060_3200_L
    number: int  # 1 to 200
    scene: str  # "001" to "010"; all phones share the scenes
    phone: str  # of PHONES
    iso: float
    shutter: float  # inverse of the exposure time, 1 / s
    illuminant: float  # colour temperature, kelvin
    brightness: str  # of the exposure: "L" low, "N" normal, "H" high


def parse_instance(name: str) -> SiddInstance:
    """Read the name of a scene instance.

    >>> instance = parse_instance("0013_001_S6_03200_01250_3200_L")
    >>> instance.phone, instance.iso, instance.scene
    ('S6', 3200.0, '001')
    """
    match = INSTANCE_NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is no scene instance of SIDD, as 0001_001_S6_00100_00060_3200_L."
        )
    number, scene, phone, *setting, brightness = match.groups()
    return SiddInstance(
        name, int(number), scene, phone, *map(float, setting), brightness
    )


def released_instances() -> tuple[str, ...]:
    """Names of the 160 instances of SIDD-Small and SIDD-Medium, by number."""
    return _names()["released"]


def held_out_instances() -> tuple[str, ...]:
    """Names of the 40 instances of the validation and benchmark blocks, in order."""
    return _names()["held_out"]


def in_split(instance: SiddInstance, split: str) -> bool:
    """Tell whether an instance belongs to one of `SPLITS` other than "blocks"."""
    if split == "zhang-test":
        return instance.scene in _ZHANG_SCENES and instance.phone in _ZHANG_PHONES
    return split == "all" or instance.number in _noise_flow_numbers(split)


@cache
def _noise_flow_numbers(split: str) -> frozenset[int]:
    ranges = (entry.split("-") for entry in _NOISE_FLOW[split].split())
    return frozenset(
        number
        for limits in ranges
        for number in range(int(limits[0]), int(limits[-1]) + 1)
    )


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    text = (
        files("skadl.datasets.sidd").joinpath("sidd_instances.json").read_text("utf-8")
    )
    entries = json.loads(text)
    return {name: tuple(entries[name]) for name in ("released", "held_out")}
