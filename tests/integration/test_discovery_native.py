"""The discovery mechanisms kvass runs itself, against a real Prometheus with the same configuration: what its /api/v1/targets lists,
active and dropped, is what `kvass check service-discovery` and the running appliance list, label for label; also after
changes and failures."""
import gzip
import json
import os
import subprocess

import pytest
from discovery_twin import Server, Twin, check_sd
from harness import KVASS, wait_for

GROUPS = [
    {"targets": ["a:1", "b:2"], "labels": {"zone": "eu", "__metrics_path__": "/m", "keep": "yes"}},
    {"targets": ["c:3", "[::1]:4"], "labels": {"__meta_x": "y", "job": "other", "keep": "yes"}},
    {"targets": ["d:5"]},
]
RULES = [{"source_labels": ["keep"], "regex": "yes", "action": "keep"}]


def http_job(url, **more):
    return {"job_name": "http", "relabel_configs": RULES, "http_sd_configs": [{"url": url, "refresh_interval": "1s", **more}]}


class ListServer(Server):
    """Answers every path with the same list; remembers the requests."""

    def __init__(self):
        self.status, self.type, self.groups, self.seen = 200, "application/json", GROUPS, []
        super().__init__(self.answer)

    def answer(self, request):
        self.seen.append(request)
        body = self.groups if isinstance(self.groups, bytes) else json.dumps(self.groups).encode()
        return self.status, {"Content-Type": self.type}, body


def test_http_list_equals_prometheus(world):
    server = world.keep(ListServer())
    twin = Twin(world, [http_job(server.url + "/sd?tier=1")])
    first = twin.settle("http")
    assert len(first["active"]) == 4 and len(first["dropped"]) == 1
    server.groups = GROUPS[1:2]
    assert len(twin.settle("http", other_than=first)["active"]) == 2
    server.groups = []
    assert twin.settle("http", until=lambda t: not t["active"] and not t["dropped"])
    server.groups = GROUPS
    assert twin.settle("http", until=lambda t: len(t["active"]) == 4) == first


FAULTS = [
    {"status": 500}, {"status": 204}, {"status": 301}, {"type": "text/html"}, {"type": "application/json; charset=latin1"},
    {"type": "application/jsonx"}, {"groups": b"[{"}, {"groups": b"{}"}, {"groups": b'[{"targets":["z:1"]},null]'},
    {"groups": b'[{"targets":[1]}]'}, {"groups": b'[{"targets":["z:1"],"labels":{"1a":"b"}}]'}, {"groups": b""},
    {"groups": b'[{"targets":["z:1"],"labels":{"a":1}}]'}, {"groups": b'[{"target":["z:1"]}]'},
    {"groups": gzip.compress(b"[]")},
]
ACCEPTED = ["application/json", "APPLICATION/JSON", 'application/json; charset="utf-8"', "application/json;charset=UTF-8"]


def test_http_failures_keep_the_last_list(world):
    """One job and server per fault, all at once."""
    servers = [world.keep(ListServer()) for _ in FAULTS + ACCEPTED]
    for server, kind in zip(servers[len(FAULTS):], ACCEPTED):
        server.type = kind
    jobs = [{**http_job(s.url + "/"), "job_name": f"j{i}"} for i, s in enumerate(servers)]
    twin = Twin(world, jobs)
    first = [twin.settle(job["job_name"], command=False) for job in jobs]
    assert all(len(f["active"]) == 4 and len(f["dropped"]) == 1 for f in first)
    for server, fault in zip(servers, FAULTS):
        for name, value in fault.items():
            setattr(server, name, value)
    before = [len(s.seen) for s in servers]
    wait_for("more refreshes by both", 40, lambda: all(len(s.seen) >= b + 12 for s, b in zip(servers, before)))
    for i, job in enumerate(jobs):
        assert twin.prometheus_targets(job["job_name"]) == first[i] == twin.kvass_targets(job["job_name"]), (FAULTS + ACCEPTED)[i]
    for i in range(len(FAULTS)):
        assert f'kvass_discovery_refresh_failures_total{{scrape_job="j{i}",mechanism="http_sd_configs"}}' in twin.metrics()
    code, out, err = check_sd(twin.config_path, "j0", timeout="2s")
    assert code == 1 and json.loads(out) == [] and "not every mechanism" in err


def test_http_request_is_the_one_prometheus_makes(world):
    server = world.keep(ListServer())
    twin = Twin(world, [http_job(server.url + "/x?y=1", refresh_interval="1500ms", basic_auth={"username": "u", "password": "p"})],
                appliance=False)
    twin.settle("http")
    theirs = next(r for r in server.seen if r["User-Agent"].startswith("Prometheus/"))
    ours = next(r for r in server.seen if r["User-Agent"].startswith("kvass/"))
    assert set(ours) == set(theirs)
    for name in set(ours) - {":peer", "User-Agent"}:
        assert ours[name] == theirs[name], name


def test_http_redirected(world):
    def answer(request):
        if request[":path"] == "/":
            return 302, {"Location": "/there"}, b""
        return 200, {"Content-Type": "application/json"}, json.dumps(GROUPS).encode()

    server = world.keep(Server(answer))
    twin = Twin(world, [http_job(server.url + "/")], appliance=False)
    assert len(twin.settle("http")["active"]) == 4


def test_http_through_scrape_proxy(world):
    """An entry that names no proxy takes that of SCRAPE_PROXY, one that does keeps its own."""
    first, second = world.keep(ListServer()), world.keep(ListServer())
    world.configure([http_job("http://nowhere.invalid/list"),
                     {**http_job("http://nowhere.invalid/own", proxy_url=second.url), "job_name": "own"}])
    path = os.path.join(world.directory, "prometheus.yml")
    for job, proxy in (("http", first), ("own", second)):
        code, out, err = check_sd(path, job, env={"SCRAPE_PROXY": first.url})
        assert code == 0 and len(json.loads(out)) == 5, err
        assert proxy.seen[-1][":path"].startswith("http://nowhere.invalid/")


def test_http_keep_alive_can_be_disabled(world):
    server = world.keep(ListServer())
    twin = Twin(world, [http_job(server.url + "/")], options=["--discovery.disable-keep-alive=true"])
    twin.settle("http", command=False)
    ours = [r for r in server.seen if r["User-Agent"].startswith("kvass/")]
    assert ours and all(r["Connection"] == "close" for r in ours)
    assert len({r[":peer"] for r in ours[-3:]}) == len(ours[-3:])


@pytest.mark.parametrize("entry,says", [
    ({}, "url"), ({"url": "ftp://x/"}, "http"), ({"url": "http:///x"}, "host"), ({"url": "http://x/", "urls": "x"}, "urls"),
    ({"url": "http://x/", "refresh_interval": "1x"}, "refresh_interval"), ({"url": "http://x/", "refresh_interval": "0s"}, "refresh_interval"),
    ({"url": "http://x/", "basic_auth": {"username": "u"}, "bearer_token": "x"}, "authentication"),
])
def test_http_entries_refused(world, entry, says):
    world.configure([{"job_name": "http", "http_sd_configs": [entry]}])
    path = os.path.join(world.directory, "prometheus.yml")
    r = subprocess.run([KVASS, "check", "config", path], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and says in r.stderr and "expected" in r.stderr and path + ":1:" in r.stderr, r.stderr
