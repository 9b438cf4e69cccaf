"""Discovery that a Prometheus of kvass' own runs: what it yields is what a real Prometheus discovers; it lives and ends with kvass."""
import concurrent.futures
import json
import os
import re
import signal
import stat
import subprocess

import pytest
import versions
from discovery_servers import DiscoveryServers
from harness import KVASS, Prometheus, all_up, get_data, http, static_job, wait_for

HOSTS = [("10.0.0.1", 9100), ("10.0.0.2", 9101), ("10.0.0.3", 9102)]


@pytest.fixture
def servers():
    s = DiscoveryServers(HOSTS)
    yield s
    s.close()


def takes(version, path):
    return subprocess.run([version.promtool, "check", "config", "--syntax-only", str(path)], capture_output=True).returncode == 0


def check(version, path, job, timeout="60s"):
    return subprocess.run([KVASS, "check", "service-discovery", version.option, f"--prometheus.binary={version.prometheus}",
                           f"--timeout={timeout}", str(path), job], capture_output=True, text=True, timeout=90)


def job_of(mechanism, entry):
    return {"job_name": mechanism, "scheme": "https", "params": {"module": ["m"]}, f"{mechanism}_sd_configs": [entry],
            "relabel_configs": [{"action": "drop"}]}


def canonical(labels):
    return json.dumps({k: v for k, v in labels.items() if not k.endswith("_histograms__") and "nhcb" not in k}, sort_keys=True)


def test_same_targets_as_a_real_prometheus(version, servers, tmp_path):
    """And a mechanism the binary does not have is refused, with job and key."""
    jobs, lacking = [], []
    for mechanism, entry in servers.entries().items():
        path = tmp_path / f"{mechanism}.yml"
        path.write_text(json.dumps({"scrape_configs": [job_of(mechanism, entry)]}))
        (jobs if takes(version, path) else lacking).append(mechanism)
    assert {"eureka", "marathon", "puppetdb", "ec2"} <= set(jobs)
    for mechanism in lacking:
        done = check(version, tmp_path / f"{mechanism}.yml", mechanism)
        assert done.returncode == 1 and done.stdout == ""
        assert re.search(rf"{mechanism}.yml:1:\d+: job '{mechanism}': {mechanism}_sd_configs: .* refuses it: field "
                         rf"{mechanism}_sd_configs not found", done.stderr), done.stderr
    path = tmp_path / "all.yml"
    entries = servers.entries()
    path.write_text(json.dumps({"scrape_configs": [job_of(m, entries[m]) for m in jobs]}))
    server = Prometheus(str(tmp_path / "prometheus"), str(path), binary=version.prometheus)
    try:
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            found = dict(zip(jobs, pool.map(lambda m: check(version, path, m), jobs)))
        for mechanism in jobs:
            url = f"{server.url}/api/v1/targets?state=dropped&scrapePool={mechanism}"
            wait_for(mechanism, 60, lambda: len(get_data(url)["droppedTargets"]) == len(HOSTS))
            theirs = sorted(canonical(t["discoveredLabels"]) for t in get_data(url)["droppedTargets"])
            assert found[mechanism].returncode == 0, found[mechanism].stderr
            assert sorted(canonical(t["discoveredLabels"]) for t in json.loads(found[mechanism].stdout)) == theirs
    finally:
        server.stop()


def test_a_failing_server_is_told_and_yields_no_empty_list(servers, tmp_path):
    if not versions.VERSIONS:
        pytest.fail("no Prometheus")
    servers.failing = True
    path = tmp_path / "p.yml"
    path.write_text(json.dumps({"scrape_configs": [job_of("eureka", servers.entries()["eureka"])]}))
    done = check(versions.VERSIONS[0], path, "eureka", timeout="8s")
    assert done.returncode == 1 and "status '500'" in done.stderr and "not every mechanism" in done.stderr


def helpers_of(kvass):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
        except OSError:
            continue
        if f"--storage.tsdb.path={kvass.store}/discovery/data" in words:
            found.append(int(pid))
    return found


def test_the_appliance_follows(world, servers):
    """Through the helper: first list, a change, a kill of the helper, a failing server, a refused reload, the end of kvass."""
    _, addresses = world.exporter("--series=10", listeners=3)
    servers.hosts = [tuple([a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])]) for a in addresses[:2]]
    eureka = {"job_name": "discovered", "eureka_sd_configs": [servers.entries()["eureka"]]}
    ec2 = {"job_name": "secret", "ec2_sd_configs": [servers.entries()["ec2"]], "relabel_configs": [{"action": "drop"}]}
    world.configure([eureka, ec2, static_job("fixed", addresses[2:])])
    kvass = world.appliance("--shard.max-series=100000").wait_ready()
    wait_for("two discovered targets and a fixed one up", 60, lambda: all_up(kvass, 3))
    (pid,) = helpers_of(kvass)
    with open(f"{kvass.store}/discovery/prometheus.yml") as f:
        assert "s3cr" in f.read()
    assert stat.S_IMODE(os.stat(f"{kvass.store}/discovery/prometheus.yml").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{kvass.store}/discovery").st_mode) == 0o700

    servers.failing = True
    os.kill(pid, signal.SIGKILL)
    wait_for("another helper", 30, lambda: helpers_of(kvass) not in ([], [pid]))
    assert "was killed by signal 9" in kvass.output()
    failures = re.compile(r'kvass_discovery_refresh_failures_total{scrape_job="discovered",mechanism="eureka_sd_configs"} (\d+)')
    wait_for("the new one's failures", 30, lambda: int(failures.search(http(kvass.url + "/metrics")[1]).group(1)) >= 3)
    assert len(kvass.targets("discovered")) == 2
    servers.failing = False
    servers.hosts.append(tuple([addresses[2].rsplit(":", 1)[0], int(addresses[2].rsplit(":", 1)[1])]))
    wait_for("a third discovered target", 60, lambda: len(kvass.targets("discovered")) == 3)

    world.configure([eureka, {"job_name": "no", "nosuch_sd_configs": [{}]}])
    status, text = http(kvass.url + "/-/reload", method="POST")
    assert status != 200 and "job 'no'" in text and "nosuch_sd_configs" in text
    bad = dict(servers.entries()["eureka"], nokey=1)
    world.configure([{"job_name": "bad", "eureka_sd_configs": [bad]}])
    status, text = http(kvass.url + "/-/reload", method="POST")
    assert status != 200 and "job 'bad': eureka_sd_configs" in text and "field nokey not found" in text
    assert len(kvass.targets("discovered")) == 3

    world.configure([static_job("fixed", addresses[2:])])
    assert http(kvass.url + "/-/reload", method="POST")[0] == 200
    wait_for("no helper without need", 30, lambda: helpers_of(kvass) == [])
    world.configure([eureka])
    assert http(kvass.url + "/-/reload", method="POST")[0] == 200
    wait_for("a helper again", 30, lambda: len(helpers_of(kvass)) == 1)
    kvass.kill()
    wait_for("the helper to end with kvass", 30, lambda: helpers_of(kvass) == [])


def test_a_program_that_is_no_prometheus(servers, tmp_path):
    path = tmp_path / "p.yml"
    path.write_text(json.dumps({"scrape_configs": [job_of("eureka", servers.entries()["eureka"])]}))
    for binary, said in (("/bin/true", "is it a Prometheus?"), ("/nonexistent", "no program that can be run"), ("nosuch-prometheus", "in PATH")):
        done = subprocess.run([KVASS, "check", "service-discovery", f"--prometheus.binary={binary}", str(path), "eureka"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and said in done.stderr and "job 'eureka'" in done.stderr, done.stderr
