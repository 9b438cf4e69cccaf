"""Fixtures of the integration tests."""
import os

import pytest
import versions
from harness import Appliance, Exporter, config, write


def pytest_terminal_summary(terminalreporter):
    """A version that is not there has no cases: this says so."""
    if uses_versions:
        for line in versions.header():
            terminalreporter.write_line(line)


uses_versions = []


def pytest_generate_tests(metafunc):
    if "version" in metafunc.fixturenames:
        uses_versions.append(metafunc.definition.nodeid)
        metafunc.parametrize("version", versions.VERSIONS, ids=[v.name for v in versions.VERSIONS])


@pytest.fixture
def world(tmp_path):
    """Starts things and ends them again, last first."""
    class World:
        directory = str(tmp_path)
        started = []

        def exporter(self, *options, listeners=1):
            e = Exporter(*options, listeners=listeners)
            self.started.append(lambda: e.__exit__())
            return e, [f"127.0.0.1:{p}" for p in e.ports]

        def appliance(self, *options, **more):
            a = Appliance(self.directory, os.path.join(self.directory, "prometheus.yml"),
                          ["--coordinator.interval=1s", *options], **more)
            self.started.append(a.stop)
            return a

        def keep(self, thing):
            """thing.stop() is called in the end."""
            self.started.append(thing.stop)
            return thing

        def configure(self, jobs, **more):
            write(os.path.join(self.directory, "prometheus.yml"), config(jobs, **more))

    w = World()
    w.started = []
    yield w
    for stop in reversed(w.started):
        stop()
