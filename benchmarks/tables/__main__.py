"""``python -m benchmarks.tables``."""

from benchmarks.tables.cli import bench

if __name__ == "__main__":
    bench(prog_name="python -m benchmarks.tables")
