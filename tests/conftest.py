"""What every test may ask for: the spec of the newest recorded host, compiled once, and the default
app.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from fake_server.spec import HostSpec, load_host
from fake_server.workflow.loader import default_workflow_path, load_workflow
from fake_server.workflow.model import Workflow

settings.register_profile("here", deadline=None)  # a busy machine is no failure
settings.load_profile("here")


@pytest.fixture(scope="session")
def host_spec() -> HostSpec:
    """The compiled spec of Dify 0.6.4."""
    return load_host("0.6.4")


@pytest.fixture(scope="session")
def default_workflow(host_spec: HostSpec) -> Workflow:
    """The workflow of the document's app."""
    return load_workflow(default_workflow_path(), host_spec.inputs)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``make unit`` does not even import a file that it would leave out: what servers need is slow
    to import.
    """
    if config.option.markexpr != "not server" or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.server\n" in collection_path.read_text("utf-8") or None
