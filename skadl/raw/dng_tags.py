"""Which tags of a DNG still hold for another mosaic of the same photograph.

Numbers and places as in the *Digital Negative (DNG) Specification*, version 1.7.1.0,
chapter 4. What is in none of these tables is left behind: how the file is laid out
(strips, tiles, previews, masked areas), what reading has done already (linearisation
table), sums over the counts (RawImageDigest, NewRawImageDigest, RawDataUniqueID), the
file before (OriginalRawFile...), the maker's private data, and serial numbers.
"""

from __future__ import annotations

COLOR_MATRIX_1 = 50721
AS_SHOT_NEUTRAL = 50728
CALIBRATION_ILLUMINANT_1 = 50778
DEFAULT_CROP_ORIGIN, DEFAULT_CROP_SIZE, DEFAULT_USER_CROP = 50719, 50720, 51125
ACTIVE_AREA = 50829
BLACK_LEVEL_REPEAT_DIM, BLACK_LEVEL = 50713, 50714
BLACK_LEVEL_DELTA_H, BLACK_LEVEL_DELTA_V = 50715, 50716
OPCODE_LISTS = {1: 51008, 2: 51009, 3: 51022}
NOISE_PROFILE, NOISE_REDUCTION_APPLIED = 51041, 50935
PROFILE_GAIN_TABLE_MAP, PROFILE_GAIN_TABLE_MAP_2 = 52525, 52544
XMP = 700
DNG_VERSION = 50706

# Copied as they are, from the directory of the mosaic or else from the first.
COPIED = {
    "UniqueCameraModel": 50708,  # raw developers look profiles up by it
    "LocalizedCameraModel": 50709,
    "DefaultScale": 50718,
    "ColorMatrix1": COLOR_MATRIX_1,
    "ColorMatrix2": 50722,
    "CameraCalibration1": 50723,
    "CameraCalibration2": 50724,
    "ReductionMatrix1": 50725,
    "ReductionMatrix2": 50726,
    "AnalogBalance": 50727,
    "AsShotNeutral": AS_SHOT_NEUTRAL,
    "AsShotWhiteXY": 50729,
    "BaselineExposure": 50730,
    # Of the camera model, not of this photograph: NoiseReductionApplied is of that.
    "BaselineNoise": 50731,
    "BaselineSharpness": 50732,
    "BayerGreenSplit": 50733,
    "LinearResponseLimit": 50734,
    "LensInfo": 50736,
    "ChromaBlurRadius": 50737,
    "AntiAliasStrength": 50738,
    "ShadowScale": 50739,
    "CalibrationIlluminant1": CALIBRATION_ILLUMINANT_1,
    "CalibrationIlluminant2": 50779,
    "BestQualityScale": 50780,
    "AsShotICCProfile": 50831,
    "AsShotPreProfileMatrix": 50832,
    "CurrentICCProfile": 50833,
    "CurrentPreProfileMatrix": 50834,
    "ColorimetricReference": 50879,
    "CameraCalibrationSignature": 50931,
    "ProfileCalibrationSignature": 50932,
    "AsShotProfileName": 50934,
    "ProfileName": 50936,
    "ProfileHueSatMapDims": 50937,
    "ProfileHueSatMapData1": 50938,
    "ProfileHueSatMapData2": 50939,
    "ProfileToneCurve": 50940,
    "ProfileEmbedPolicy": 50941,
    "ProfileCopyright": 50942,
    "ForwardMatrix1": 50964,
    "ForwardMatrix2": 50965,
    "ProfileLookTableDims": 50981,
    "ProfileLookTableData": 50982,
    "TimeCodes": 51043,
    "FrameRate": 51044,
    "TStop": 51058,
    "ReelName": 51081,
    "ProfileHueSatMapEncoding": 51107,
    "ProfileLookTableEncoding": 51108,
    "BaselineExposureOffset": 51109,
    "DefaultBlackRender": 51110,
    "CalibrationIlluminant3": 52529,
    "CameraCalibration3": 52530,
    "ColorMatrix3": 52531,
    "ForwardMatrix3": 52532,
    "ProfileHueSatMapData3": 52537,
    "ReductionMatrix3": 52538,
    "ProfileDynamicRange": 52551,
    "ProfileGroupName": 52552,
}

# Copied from files of the byte order that is written: the numbers inside have it too.
COPIED_IN_ORDER = {
    "IlluminantData1": 52533,
    "IlluminantData2": 52534,
    "IlluminantData3": 52535,
    "RGBTables": 52543,
}
