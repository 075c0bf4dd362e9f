"""One pipeline that runs undisturbed, and copies of it to disturb."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill import Drill, MakeDrill, write_documents


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: making its database is slow, and on a machine all commands share it, too."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def markdown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents."""
    return write_documents(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="session")
def undisturbed(
    markdown: Path, prefect_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Drill:
    """A pipeline that has run to its end."""
    drill = Drill(tmp_path_factory.mktemp("undisturbed"), markdown, home=prefect_home)
    drill.run("run")
    return drill


@pytest.fixture(scope="session")
def copy_of_it(undisturbed: Drill, markdown: Path, prefect_home: Path) -> MakeDrill:
    """Makes a finished workspace of its own in a folder."""

    def make(folder: Path) -> Drill:
        return Drill(folder, markdown, origin=undisturbed, home=prefect_home)

    return make
