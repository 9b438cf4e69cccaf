"""docker_sd_configs and dockerswarm_sd_configs against a real Prometheus and a real Docker engine of our own: containers in several
networks, host networking, a shared network, a swarm of one node. Needs root and Debian's docker.io: `make check-docker`."""
import os
import subprocess

import pytest
from discovery_twin import Twin
from harness import Process, wait_for

SLEEPER = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


class Engine(Process):
    def __init__(self, directory):
        self.socket = os.path.join(directory, "d.sock")
        self.directory = directory
        super().__init__(["dockerd", "--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "-p", f"{directory}/pid",
                          "-H", f"unix://{self.socket}", "--iptables=false", "--storage-driver=vfs"], f"{directory}/dockerd.log")
        wait_for("dockerd", 60, lambda: self.docker("version"))

    def docker(self, *words):
        r = subprocess.run(["docker", "-H", f"unix://{self.socket}", *words], capture_output=True, text=True, timeout=120)
        if r.returncode != 0:
            raise ValueError(f"docker {words}: {r.stderr}")
        return r.stdout.strip()

    def stop(self, *_):
        for ident in self.docker("ps", "-aq").split():
            self.docker("rm", "-f", ident)
        super().stop(seconds=60)

    def make_image(self):
        with open(f"{self.directory}/s.c", "w") as f:
            f.write(SLEEPER)
        subprocess.run(["gcc", "-static", "-Os", "-o", "s", "s.c"], cwd=self.directory, check=True)
        subprocess.run(["tar", "cf", "s.tar", "s"], cwd=self.directory, check=True)
        self.docker("import", f"{self.directory}/s.tar", "tiny")


def run(engine, name, *options):
    engine.docker("run", "-d", "--name", name, *options, "tiny", "/s")


@pytest.fixture
def engine(world, tmp_path):
    e = world.keep(Engine(str(tmp_path)))
    e.make_image()
    e.docker("network", "create", "--label", "a-b=c", "apps")
    run(e, "web", "-p", "127.0.0.1:18080:80", "--expose", "443", "--expose", "53/udp", "-l", "com.x/role=web")
    run(e, "hostnet", "--network", "host")
    run(e, "app", "--network", "apps", "--expose", "9090")
    run(e, "side", "--network", "container:web")
    e.docker("network", "connect", "apps", "web")
    e.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    yield e
    e.docker("swarm", "leave", "--force")


def test_engine(world, engine):
    common = {"host": f"unix://{engine.socket}", "refresh_interval": "1s"}
    engine.docker("service", "create", "--detach", "--name", "svc", "--label", "k.l=v", "-p", "18081:80", "tiny", "/s")
    wait_for("a task", 60, lambda: "1/1" in engine.docker("service", "ls"))
    filters = [{"name": "label", "values": ["com.x/role=web"]}]
    jobs = [{"job_name": "docker", "docker_sd_configs": [common]},
            {"job_name": "filtered", "docker_sd_configs": [{**common, "filters": filters}]}]
    jobs += [{"job_name": role, "dockerswarm_sd_configs": [{**common, "role": role}]} for role in ("services", "tasks", "nodes")]
    twin = Twin(world, jobs)
    found = {job["job_name"]: twin.settle(job["job_name"]) for job in jobs}
    assert all(f["active"] for f in found.values())
    engine.docker("rm", "-f", "app")
    run(engine, "late", "--network", "apps", "--expose", "8000-8010")
    assert len(twin.settle("docker", other_than=found["docker"])["active"]) == len(found["docker"]["active"]) + 10
    engine.docker("service", "rm", "svc")
    assert twin.settle("tasks", until=lambda t: not t["active"]) and twin.settle("services", until=lambda t: not t["active"])
