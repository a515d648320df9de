"""What the processor can do at most: loops of multiply-adds on registers alone.

Matrix products of a library are no ceiling: some take a slow path on some processors.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

SECONDS = 0.3  # of a loop
SOURCE = r"""
#include <immintrin.h>
typedef float v16 __attribute__((vector_size(64)));
#define N 12

double fma_float32(long rounds) {
    v16 y[N], a = {0}, b = {0};
    for (int i = 0; i < 16; i++) { a[i] = 0.999f; b[i] = 1e-3f; }
    for (int j = 0; j < N; j++) y[j] = a + (float)j;
    for (long r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12")
        for (int j = 0; j < N; j++) y[j] = y[j] * a + b;
        __asm__ volatile("");
    }
    v16 sum = y[0];
    for (int j = 1; j < N; j++) sum += y[j];
    volatile float keep = sum[0];
    (void)keep;
    return 2.0 * 16 * N * rounds;
}

double fma_bfloat16(long rounds) {
#ifdef __AVX512BF16__
    __m512 y[N];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f7f3f7f);
    for (int j = 0; j < N; j++) y[j] = _mm512_set1_ps(0.0f);
    for (long r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12")
        for (int j = 0; j < N; j++) y[j] = _mm512_dpbf16_ps(y[j], a, a);
        __asm__ volatile("");
    }
    __m512 sum = y[0];
    for (int j = 1; j < N; j++) sum = _mm512_add_ps(sum, y[j]);
    volatile float keep = _mm512_reduce_add_ps(sum);
    (void)keep;
    return 2.0 * 32 * N * rounds;
#else
    return 0.0;
#endif
}
"""


def measure_peaks(n_threads: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Measure multiply-adds by name, in GFLOP/s by the clock and of processor time.

    The loops "float32" and "bfloat16" work on vector registers, as far as the processor
    has them and a C compiler is there; torch's product of matrices may use matrix
    registers. The best of `rounds` counts.
    """
    peaks = {
        f"{name}, matrix product": _best(lambda dtype=dtype: _product(dtype), rounds)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    with tempfile.TemporaryDirectory() as folder:
        library = _compile(Path(folder))
        for name in ("float32", "bfloat16") if library else ():
            loop = getattr(library, f"fma_{name}")
            loop.restype, loop.argtypes = ctypes.c_double, [ctypes.c_long]
            if loop(1):
                peaks[name] = _best(lambda loop=loop: _loop(loop, n_threads), rounds)
    return peaks


def _compile(folder: Path) -> ctypes.CDLL | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "peaks.c", folder / "peaks.so"
    source.write_text(SOURCE, encoding="utf-8")
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(library)], capture_output=True
    )
    return ctypes.CDLL(str(library)) if done.returncode == 0 else None


def _best(call: Callable[[], np.ndarray], rounds: int) -> tuple[float, float]:
    wall, cpu = np.max([call() for _ in range(rounds)], axis=0)
    return float(wall), float(cpu)


def _loop(loop: Callable[[int], float], n_threads: int) -> np.ndarray:
    n_rounds = 1000
    while True:
        start = _now()
        with ThreadPoolExecutor(n_threads) as threads:
            flops = sum(threads.map(loop, [n_rounds] * n_threads))
        seconds = _now() - start
        if min(seconds) > SECONDS:
            return flops / seconds / 1e9
        n_rounds *= 4


def _product(dtype: torch.dtype) -> np.ndarray:
    side = 2048
    a, b = (torch.rand(side, side).to(dtype) for _ in range(2))
    a @ b
    start = _now()
    a @ b
    return 2 * side**3 / (_now() - start) / 1e9


def _now() -> np.ndarray:
    """Wall-clock and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])
