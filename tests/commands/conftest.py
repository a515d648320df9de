"""What several files of these tests begin with."""

from __future__ import annotations

import pytest


@pytest.fixture
def session(tmp_path):
    """What the page of `skadl app` works on, in folders of its own."""
    from skadl.commands.app.session import Session

    (tmp_path / "scratch").mkdir()
    made = Session(tmp_path / "scratch", tmp_path / "out")
    yield made
    made.close()
