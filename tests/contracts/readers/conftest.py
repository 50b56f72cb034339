"""Each reader's name, and its tiny raw folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.readers.layouts import READERS, write


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The raw folder of each reader, not to be changed."""
    home = tmp_path_factory.mktemp("readers")
    for one in READERS:
        write(one, home / one)
    return {one: home / one for one in READERS}
