"""One pipeline that runs undisturbed, and copies of it to disturb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

from drill import Drill, MakeDrill, PrefectServer, write_documents


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The Prefect server of all drills; whoever kills it starts it again."""
    running = PrefectServer(tmp_path_factory.mktemp("prefect"), free_port())
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def markdown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents."""
    return write_documents(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="session")
def undisturbed(
    markdown: Path, server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Drill:
    """A pipeline that has run to its end."""
    drill = Drill(tmp_path_factory.mktemp("undisturbed"), markdown, server)
    drill.run("run")
    return drill


@pytest.fixture(scope="session")
def copy_of_it(undisturbed: Drill, markdown: Path, server: PrefectServer) -> MakeDrill:
    """Makes a finished workspace of its own in a folder."""

    def make(folder: Path) -> Drill:
        return Drill(folder, markdown, server, undisturbed)

    return make
