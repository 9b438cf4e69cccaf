"""kvass appliance with real Prometheus children: the main job, restart safety, API and tools. The whole main job is scripts/demo."""
import base64
import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http import server as http_server

import pytest
from harness import KVASS, Process, Prometheus, all_up, free_ports, get_data, http, prometheus_value, query, scalar, static_job, wait_for, write

SERIES = 2000


# ---------------------------------------------------------------------------------------------------- the main job


def test_spreads_counts_and_scales_down(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=4)
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000", "--shard.max-idle-time=2s", "--move.cool-down=0s").wait_ready()
    wait_for("two shards with two targets each", 90,
             lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    for name, key in (("scrape_samples_scraped", "totalSeries"), ("scrape_samples_post_metric_relabeling", "series")):
        wait_for(name, 90, lambda: prometheus_value(kvass, f"sum({name})") == 4 * SERIES)
        assert sum(t[key] for t in kvass.targets()) == 4 * SERIES
    ledger = kvass.get("/api/v1/ledger")
    assert ledger["assigned"] == ledger["discovered"] == 4
    # Two targets go: what is left fits on one shard, the other is drained by moves and removed.
    world.configure([static_job("a", addresses[:2])])
    assert http(kvass.url + "/-/reload", "POST", "")[0] == 200
    wait_for("one shard", 150, lambda: len(kvass.shards()) == 1 and all_up(kvass, 2))


def test_settled_system_writes_nothing(world):
    exporter, addresses = world.exporter("--series=100", listeners=2)
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("both up", 60, lambda: all_up(kvass, 2))
    shard = os.path.join(kvass.store, "shards", "shard-0")
    files = [os.path.join(d, f) for d, _, names in os.walk(shard) if "/data" not in d for f in names if f.endswith((".yml", ".json"))]
    assert len(files) == 2
    before = {f: os.stat(f).st_mtime_ns for f in files}
    rounds = kvass.get("/api/v1/shards")["rounds"]
    wait_for("five more rounds", 30, lambda: kvass.get("/api/v1/shards")["rounds"] >= rounds + 5)
    assert {f: os.stat(f).st_mtime_ns for f in files} == before
    for f in files:
        assert os.stat(f).st_mode & 0o777 == 0o640


def test_samples_by_metric(world):
    exporter, addresses = world.exporter("--series=100", listeners=2)
    world.configure([static_job("a", addresses), static_job("b", addresses[:1])], interval="2s")
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("all up", 60, lambda: all_up(kvass, 3))
    assert kvass.get("/api/v1/samples")["a"]["metricsTotal"] == {}
    got = kvass.get("/api/v1/samples?with_metrics_detail=true")
    for job, count in (("a", 2), ("b", 1)):  # per second: every other second a scrape
        figures = got[job]["metricsTotal"]
        assert len(figures) > 1 and sum(f["scraped"] for f in figures.values()) == got[job]["scrapedTotal"] == count * 50
        assert sum(f["total"] for f in figures.values()) == got[job]["total"]


def test_a_target_too_big_for_any_shard_is_said_and_never_scales(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=3)
    exporter.control("series=9000", listener=2)
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("the two others", 60, lambda: sum(t["health"] == "up" and len(t["shards"]) == 1 for t in kvass.targets()) == 2)
    rounds = kvass.get("/api/v1/shards")["rounds"]
    wait_for("some more rounds", 30, lambda: kvass.get("/api/v1/shards")["rounds"] >= rounds + 5)
    ledger = kvass.get("/api/v1/ledger")
    assert ledger["too_big"] == 1 and ledger["assigned"] == 2 and len(kvass.shards()) == 1
    [big] = [t for t in kvass.targets() if t["state"] == "too_big"]
    assert "do not fit an empty shard" in big["reason"] and big["shards"] == []
    exporter.control("series=1500", listener=2)  # it shrinks: a later probe or round takes it in
    world.configure([static_job("a", addresses), static_job("again", addresses[2:])])
    kvass.kill(signal.SIGHUP)
    wait_for("its smaller self", 60, lambda: any(t["scrapePool"] == "again" and t["health"] == "up" for t in kvass.targets()))


def test_a_label_edit_keeps_the_shard_without_a_gap(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=4)
    targets = os.path.join(world.directory, "t.json")
    write(targets, json.dumps([{"targets": addresses, "labels": {"rack": "a"}}]))
    world.configure([{"job_name": "a", "file_sd_configs": [{"files": [targets]}]}])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("settled", 90, lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    owners = kvass.owners()
    write(targets, json.dumps([{"targets": addresses, "labels": {"rack": "b"}}]))
    wait_for("the new labels", 60, lambda: all_up(kvass, 4) and {t["labels"]["rack"] for t in kvass.targets()} == {"b"})
    assert kvass.owners() == owners and kvass.moves() == []
    wait_for("new samples", 30, lambda: prometheus_value(kvass, 'count(up{rack="b"} == 1)') == 4)
    assert prometheus_value(kvass, "count(min_over_time(up[1m]) == 0)") == 0


class Picky(http_server.BaseHTTPRequestHandler):
    """Serves metrics over TLS, to whoever knows the password, and notes what was asked."""

    asked = []

    def do_GET(self):
        good = self.headers["Authorization"] == "Basic " + base64.b64encode(b"u:hunter2").decode()
        body = b"picky 1\n" if good else b"go away\n"
        type(self).asked.append((self.path, good))
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_an_odd_job_tls_passwords_params_and_all(world):
    key, cert = os.path.join(world.directory, "key.pem"), os.path.join(world.directory, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                    "/CN=picky.example", "-addext", "subjectAltName=DNS:picky.example"], check=True, capture_output=True)
    server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Picky)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.started.append(server.shutdown)
    Picky.asked = []
    address = f"127.0.0.1:{server.server_address[1]}"
    name = "p\u00e4th/with slash & more"
    common = {"scheme": "https", "basic_auth": {"username": "u", "password": "hunter2"},
              "tls_config": {"ca_file": cert, "server_name": "picky.example"}}
    world.configure([
        static_job(name, [address], metrics_path="/a b", params={"collect[]": ["cpu", "mem"], "module": ["x"]},
                   relabel_configs=[{"target_label": "__param_module", "replacement": "y&z"},
                                    {"target_label": "__scrape_interval__", "replacement": "2s"},
                                    {"target_label": "__scrape_timeout__", "replacement": "2s"}], **common),
        static_job("wrong name", [address], **{**common, "tls_config": {"ca_file": cert, "server_name": "other.example"}}),
        static_job("wrong password", [address], **{**common, "basic_auth": {"username": "u", "password": "guessed"}})])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()

    def judged():
        health = {t["scrapePool"]: t["health"] for t in kvass.targets()}
        return health == {name: "up", "wrong name": "down", "wrong password": "down"}

    wait_for("one up, two down", 60, judged)
    prometheus = kvass.shards()[0]["prometheusUrl"]
    wait_for("Prometheus to agree", 40, lambda: {m["job"]: v for m, v in query(prometheus, "up")} ==
             {name: "1", "wrong name": "0", "wrong password": "0"})
    errors = {t["scrapePool"]: t["lastError"] for t in kvass.targets()}
    assert "401" in errors["wrong password"] and "certificate" in errors["wrong name"].lower()
    good = {path for path, ok in Picky.asked if ok}
    assert good == {"/a%20b?collect%5B%5D=cpu&collect%5B%5D=mem&module=y%26z"}, good
    assert [t["scrapeInterval"] for t in kvass.targets() if t["scrapePool"] == name] == ["2s"]
    # The password is where it must be and nowhere else.
    places = [kvass.output(), http(kvass.url + "/api/v1/targets")[1], http(kvass.url + "/api/v1/status/config")[1],
              http(kvass.url + "/metrics")[1], http(kvass.url + "/api/v1/shards")[1], http(prometheus + "/api/v1/targets")[1],
              http(prometheus + "/api/v1/status/config")[1]]
    for folder, _, names in os.walk(kvass.store):
        if "/data" not in folder:
            places += [open(os.path.join(folder, n), errors="replace").read() for n in names if n != "lock"]
    assert not any("hunter2" in p or "aHVudGVyMg" in p for p in places)


def test_a_silent_mechanism_in_a_reload_keeps_nobody_waiting(world):
    """A start waits for every job, for an hour here. What a reload brings is not waited for: a changed job keeps its targets, a new
    one of another mechanism is placed."""
    _, addresses = world.exporter("--series=10", listeners=2)
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    world.started.append(listener.close)
    silent = [{"url": f"http://127.0.0.1:{listener.getsockname()[1]}/", "refresh_interval": "1h"}]
    world.configure([static_job("old", addresses[:1])])
    kvass = world.appliance("--sd.init-timeout=1h").wait_ready()
    wait_for("the first target", 60, lambda: all_up(kvass, 1))
    world.configure([{"job_name": "old", "http_sd_configs": silent}, {"job_name": "silent", "http_sd_configs": silent},
                     static_job("new", addresses[1:])])
    assert http(kvass.url + "/-/reload", "POST", "")[0] == 200
    wait_for("the new target to be placed", 60, lambda: [t["state"] for t in kvass.targets("new")] == ["assigned"])
    assert [t["state"] for t in kvass.targets("old")] == ["assigned"]


# ---------------------------------------------------------------------------------------------------- restart safety


def test_kill_9_of_the_appliance_keeps_the_assignment(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=4)
    world.configure([static_job("a", addresses)])
    options = ["--shard.max-series=6000"]
    kvass = world.appliance(*options).wait_ready()
    wait_for("settled", 90, lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    owners, children = kvass.owners(), kvass.child_pids()
    assert len(children) == 2
    for pause in (0.05, 0.4, 1.3):
        kvass.kill(signal.SIGKILL)
        kvass.child.wait()
        kvass = world.appliance(*options, base_port=kvass.base_port, ports=kvass.ports)
        time.sleep(pause)
    kvass.wait_ready()
    wait_for("settled again", 60, lambda: all_up(kvass, 4))
    rounds = kvass.get("/api/v1/shards")["rounds"]
    wait_for("a few more rounds", 30, lambda: kvass.get("/api/v1/shards")["rounds"] >= rounds + 4)
    assert kvass.owners() == owners
    assert kvass.child_pids() == children, "the children were adopted, not restarted"
    assert kvass.moves() == []


def test_kill_9_while_it_grows_loses_no_target(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=6)
    world.configure([static_job("a", addresses)])
    options = ["--shard.max-series=6000"]
    kvass = world.appliance(*options)
    for pause in (0.3, 1.0, 2.0, 3.0):
        time.sleep(pause)
        kvass.kill(signal.SIGKILL)
        kvass.child.wait()
        kvass = world.appliance(*options, base_port=kvass.base_port, ports=kvass.ports)
    kvass.wait_ready()
    wait_for("every target up on exactly one shard", 120, lambda: all_up(kvass, 6))
    wait_for("every series stored", 60, lambda: prometheus_value(kvass, "sum(scrape_samples_scraped == 2000)") >= 6 * SERIES)


def test_kill_9_of_a_shard_brings_it_back_with_its_targets(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=4)
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("settled", 90, lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    owners, pids = kvass.owners(), kvass.child_pids()
    for victim in ("shard-0", "shard-1", "shard-0"):
        pid = kvass.child_pids()[victim]
        os.kill(pid, signal.SIGKILL)
        wait_for("a new process", 90, lambda: kvass.child_pids().get(victim, pid) != pid)
        url = next(s["prometheusUrl"] for s in kvass.shards() if s["id"] == victim)
        began = time.time()
        wait_for("fresh samples of both targets", 60, lambda: len(query(url, f"timestamp(up == 1) > {began}")) == 2)
    assert kvass.owners() == owners and kvass.moves() == []
    assert len(kvass.child_pids()) == len(pids) == 2


def test_a_torn_state_file_is_set_aside(world):
    exporter, addresses = world.exporter("--series=100")
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("up", 60, lambda: all_up(kvass, 1))
    kvass.kill(signal.SIGKILL)
    kvass.child.wait()
    state = os.path.join(kvass.store, "state")
    with open(state, "r+b") as f:
        f.truncate(os.path.getsize(state) // 2)
    kvass = world.appliance("--shard.max-series=6000", base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("up again", 60, lambda: all_up(kvass, 1))
    assert any(name.startswith("state.bad") for name in os.listdir(kvass.store))


def test_a_job_that_went_while_kvass_was_away_is_forgotten(world):
    """No discovery tells of it any more: its targets, known from the state, go all the same, and leave the shard's configuration."""
    _, addresses = world.exporter("--series=100", listeners=3)
    world.configure([static_job("old", addresses[:2]), static_job("stays", addresses[2:])])
    kvass = world.appliance("--target.grace=2s", "--shard.on-exit=keep").wait_ready()
    wait_for("three up", 90, lambda: all_up(kvass, 3))
    Process.stop(kvass, signal.SIGTERM)
    world.configure([static_job("stays", addresses[2:])])
    kvass = world.appliance("--target.grace=2s", base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("the job's targets to go", 90, lambda: all_up(kvass, 1) and [t["scrapePool"] for t in kvass.targets()] == ["stays"])
    wait_for("Prometheus to scrape them no more", 120, lambda: {
        t["scrapePool"] for t in get_data(kvass.shards()[0]["prometheusUrl"] + "/api/v1/targets")["activeTargets"]} == {"stays"})


def test_ports_that_are_held_for_nobody_are_told(world):
    """The addresses in kvass.yaml changed and the .socket unit did not: each held port is named, once; a taken one is not."""
    world.configure([])
    sockets, ports = inherited_sockets()
    sockets = dict(zip(("x.socket", "y.socket"), sockets.values()))  # found by their addresses alone, as those of kvass.socket
    other = free_ports(1)[0]
    kvass = world.appliance(ports=[other, ports[1]], sockets=sockets).wait_ready()
    told = [line for line in kvass.output().splitlines() if 'op="held port"' in line]
    assert len(told) == 1 and f"address=127.0.0.1:{ports[0]}" in told[0] and "level=warn" in told[0], told
    kvass.stop()
    kvass = world.appliance(ports=ports, base_port=kvass.base_port, sockets=sockets).wait_ready()
    assert kvass.output().count('op="held port"') == 1
    for s in sockets.values():
        s.close()


def test_a_restart_with_inherited_sockets_fails_no_scrape(world):
    exporter, addresses = world.exporter("--series=100", listeners=2)
    world.configure([static_job("a", addresses, scrape_timeout="8s", scrape_interval="8s")])
    sockets, ports = inherited_sockets()
    options = ["--shard.max-series=6000", "--shard.on-exit=keep"]
    kvass = world.appliance(*options, ports=ports, sockets=sockets).wait_ready()
    wait_for("both up", 60, lambda: all_up(kvass, 2))
    prometheus = kvass.shards()[0]["prometheusUrl"]
    began = time.time()
    for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        kvass.wait_ready()
        time.sleep(1.5)
        kvass.kill(sig)
        kvass.child.wait(30)
        time.sleep(0.7)  # scrapes that come now wait in the sockets' queues
        kvass = world.appliance(*options, ports=ports, base_port=kvass.base_port, sockets=sockets)
    kvass.wait_ready()
    ended = time.time()
    wait_for("good samples after the last restart", 60, lambda: len(query(prometheus, f"timestamp(up == 1) > {ended}")) == 2)
    window = int(time.time() - began)
    series = query(prometheus, f"up[{window}s]")
    assert len(series) == 2
    for _, samples in series:
        values = [v for _, v in samples]
        # A scrape that was under way in the killed process is lost with it; those that came in between only waited.
        assert values.count("0") <= 1 and len(values) >= window // 8 - 2, samples
    for s in sockets.values():
        s.close()


def inherited_sockets():
    """Sockets as systemd holds them, under high numbers so that they do not collide with the fds they become in the child."""
    sockets = {}
    for name in ("api", "proxy"):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(128)
            sockets[name] = socket.socket(fileno=fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 100))
    return sockets, [sockets[n].getsockname()[1] for n in ("api", "proxy")]


def test_what_leaves_and_what_was_proved_survive_kill_9(world):
    """A target that left the file is still asked for: a kvass that starts meanwhile must serve it, and must remember what it was told."""
    exporter, addresses = world.exporter("--series=50", listeners=2)
    targets = os.path.join(world.directory, "t.json")
    write(targets, json.dumps([{"targets": addresses}]))
    world.configure([{"job_name": "a", "file_sd_configs": [{"files": [targets]}]}])
    kvass = world.appliance("--target.grace=0s").wait_ready()
    wait_for("both up", 60, lambda: all_up(kvass, 2))
    with open(os.path.join(kvass.store, "shards", "shard-0", "targets", "a.json")) as f:
        [hash] = [g["labels"]["__param__hash"] for g in json.load(f) if g["targets"] == [addresses[1]]]
    url = f"http://{addresses[1]}/metrics?_hash={hash}&_jobName=a&_scheme=http&_shard=shard-0"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{kvass.ports[1]}"}))
    write(targets, json.dumps([{"targets": addresses[:1]}]))
    wait_for("one to leave", 30, lambda: kvass.shards()[0]["leaving"] == 1)
    assert http(kvass.url + "/api/v1/status/extra_config", "POST", json.dumps({"stopScrapeReason": "a pause"}))[0] == 200
    kvass.kill(signal.SIGKILL)
    Process.stop(kvass)
    again = world.appliance("--target.grace=0s", base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    assert again.shards()[0]["leaving"] == 1
    assert "a pause" in http(again.url + "/api/v1/status/extra_config")[1]
    with pytest.raises(urllib.error.HTTPError, match="a pause"):
        opener.open(url, timeout=10)
    assert http(again.url + "/api/v1/status/extra_config", "POST", "{}")[0] == 200
    wait_for("it to be served", 10, lambda: opener.open(url, timeout=10).status == 200)


def test_kill_9_during_a_move_leaves_no_gap(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=3)
    exporter.control("series=500", listener=2)
    world.configure([static_job("a", addresses, scrape_interval="3s", scrape_timeout="3s")])
    sockets, ports = inherited_sockets()
    options = ["--shard.max-series=6000", "--move.cool-down=0s"]
    kvass = world.appliance(*options, ports=ports, sockets=sockets).wait_ready()
    wait_for("all up on one shard", 60, lambda: all_up(kvass, 3) and len(kvass.shards()) == 1)
    began = time.time()
    exporter.control("series=1500", listener=2)
    wait_for("a move under way", 90, lambda: any(len(t["shards"]) == 2 for t in kvass.targets()), 0.05)
    for pause in (0.1, 1.0):
        time.sleep(pause)
        kvass.kill(signal.SIGKILL)
        kvass.child.wait()
        kvass = world.appliance(*options, ports=ports, base_port=kvass.base_port, sockets=sockets).wait_ready()
    wait_for("one owner each, two shards", 120, lambda: all_up(kvass, 3) and len(kvass.shards()) == 2)
    time.sleep(4)
    window = int(time.time() - began)
    for port in exporter.ports:  # all shards' samples of a target, merged
        samples = [x for s in kvass.shards() for _, values in
                   query(s["prometheusUrl"], f'up{{instance="127.0.0.1:{port}"}}[{window}s]') for x in values]
        times = sorted(float(t) for t, v in samples if v == "1")
        # Each kill may cost the scrape that was under way in the dead process, never two in a row.
        assert max(b - a for a, b in zip(times, times[1:])) < 2 * 3 + 0.5, sorted(samples)
    for s in sockets.values():
        s.close()


def test_sigterm_ends_in_order_and_can_keep_the_children(world):
    exporter, addresses = world.exporter("--series=100")
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000", "--shard.on-exit=keep").wait_ready()
    wait_for("up", 60, lambda: all_up(kvass, 1))
    children = kvass.child_pids()
    kvass.kill(signal.SIGTERM)
    assert kvass.child.wait(30) == 0
    assert kvass.child_pids() == children
    kvass = world.appliance("--shard.max-series=6000", base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("adopted", 60, lambda: all_up(kvass, 1))
    assert kvass.child_pids() == children
    kvass.kill(signal.SIGTERM)
    assert kvass.child.wait(60) == 0
    assert kvass.child_pids() == {}


# ---------------------------------------------------------------------------------------------------- API and tools


def test_the_api_answers_in_the_known_shapes(world):
    exporter, addresses = world.exporter("--series=100", listeners=2)
    world.configure([static_job("a", addresses, scrape_interval="2s"),
                     {"job_name": "b", "static_configs": [{"targets": [addresses[0], "dropped:1"]}],
                      "basic_auth": {"username": "u", "password": "hunter2"},
                      "relabel_configs": [{"source_labels": ["__address__"], "regex": "dropped.*", "action": "drop"}],
                      "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": ".*_bucket", "action": "drop"}]}])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("all up", 60, lambda: all_up(kvass, 3))
    for path in ("/api/v1/targets", "/api/v1/targets/"):
        data = kvass.get(path)
        assert len(data["activeTargets"]) == 3 and len(data["droppedTargets"]) == 1
    assert data["droppedTargets"][0]["discoveredLabels"]["__address__"] == "dropped:1"
    first = data["activeTargets"][0]
    assert {"discoveredLabels", "labels", "scrapePool", "scrapeUrl", "globalUrl", "lastError", "lastScrape", "lastScrapeDuration",
            "health", "scrapeInterval", "scrapeTimeout", "series", "totalSeries", "shards"} <= set(first)
    assert kvass.get("/api/v1/targets?state=active")["droppedTargets"] == []
    assert kvass.get("/api/v1/targets?state=dropped")["activeTargets"] == []
    assert {t["scrapePool"] for t in kvass.get("/api/v1/targets?job=b")["activeTargets"]} == {"b"}
    assert len(kvass.get("/api/v1/targets?job=a&job=b")["activeTargets"]) == 3
    assert kvass.get("/api/v1/targets?health=down")["activeTargets"] == []
    only = kvass.get("/api/v1/targets?statistics=only")
    assert only["activeTargets"] == [] and only["activeStatistics"] == [
        {"JobName": "a", "Total": 2, "Health": {"up": 2}}, {"JobName": "b", "Total": 1, "Health": {"up": 1}}]
    status, text = http(kvass.url + "/api/v1/targets?job=(")
    assert status == 400 and json.loads(text)["errorType"] == "bad_data"
    by_job = {t["scrapePool"]: t for t in data["activeTargets"]}
    assert by_job["b"]["totalSeries"] == 100 and by_job["b"]["series"] < 100, "metric_relabel_configs drop the buckets"
    wait_for("head figures", 40, lambda: kvass.get("/api/v1/runtimeinfo")["headSeries"] > 200)
    assert kvass.get("/api/v1/runtimeinfo")["processSeries"] == 300
    samples = kvass.get("/api/v1/samples")
    assert samples["a"]["scrapedTotal"] == 100 and set(kvass.get("/api/v1/samples?job=b")) == {"b"}
    yaml = kvass.get("/api/v1/status/config")["yaml"]
    assert "hunter2" not in yaml and "<secret>" in yaml and "job_name" in yaml
    assert http(kvass.url + "/-/healthy")[0] == 200
    assert http(kvass.url + "/-/reload")[0] == 405 and http(kvass.url + "/api/v1/nothing")[0] == 404
    metrics = http(kvass.url + "/metrics")[1]
    ours = "".join(line for line in metrics.splitlines(True) if "kvass_sidecar_targets_total" not in line)  # a gauge; dashboards know the name
    checked = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stderr
    ledger = kvass.get("/api/v1/ledger")
    assert ledger["assigned"] == 3 and ledger["dropped"] == 1 and ledger["discovered"] == 4
    assert 'kvass_balancer_ledger_targets{state="assigned"} 3' in metrics and "kvass_balancer_discovered_targets 4" in metrics
    assert "hunter2" not in kvass.output()


def test_only_assigned_targets_are_proxied(world):
    exporter, addresses = world.exporter("--series=100")
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("up", 60, lambda: all_up(kvass, 1))
    target = kvass.targets()[0]
    query_text = f"_hash={target['hash']}&_jobName=a&_scheme=http&_shard=shard-0"

    def through(url, method="GET"):
        with socket.create_connection(("127.0.0.1", kvass.ports[1]), timeout=10) as s:
            s.sendall(f"{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return int(answer.split()[1]), answer

    status, answer = through(f"http://{addresses[0]}/metrics?{query_text}")
    assert status == 200 and answer.count(b"\n") > 100
    assert through(f"http://{addresses[0]}/other?{query_text}")[0] == 403
    assert through(f"http://127.0.0.1:1/metrics?{query_text}")[0] == 403
    assert through(f"http://{addresses[0]}/metrics?{query_text.replace('shard-0', 'shard-9')}")[0] == 403
    assert through(f"http://{addresses[0]}/metrics?_hash=1&_jobName=a&_scheme=http")[0] == 403
    assert through(f"http://{addresses[0]}/metrics")[0] == 400
    assert through("/metrics")[0] == 400
    assert through(addresses[0], "CONNECT")[0] == 405


def test_get_shows_tables_and_json(world):
    exporter, addresses = world.exporter("--series=100")
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("up", 60, lambda: all_up(kvass, 1))

    def get(*words):
        return subprocess.run([KVASS, "get", *words, f"--server={kvass.url}"], capture_output=True, text=True, timeout=30)

    shards = get("shards")
    assert shards.returncode == 0 and "shard-0" in shards.stdout and "ready" in shards.stdout and "\033" not in shards.stdout
    assert json.loads(get("targets", "-o", "json").stdout)["data"]["activeTargets"][0]["health"] == "up"
    assert "kvass_build_info" in get("metrics").stdout
    assert get("moves").returncode == 0
    assert get("nonsense").returncode == 2
    assert subprocess.run([KVASS, "get", "shards", "--server=http://127.0.0.1:1"], capture_output=True).returncode == 1


def test_the_querier_sees_all_and_stop_scraping_stops(world):
    exporter, addresses = world.exporter(f"--series={SERIES}", listeners=4)
    world.configure([static_job("a", addresses)])
    kvass = world.appliance("--shard.max-series=6000").wait_ready()
    wait_for("two shards", 90, lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    querier_file = os.path.join(world.directory, "querier.yml")
    assert subprocess.run([KVASS, "render", "--querier", f"--server={kvass.url}", f"--output={querier_file}"], timeout=30).returncode == 0
    querier = Prometheus(os.path.join(world.directory, "querier"), querier_file)
    world.started.append(querier.stop)
    querier.wait_ready()
    wait_for("all series in one query", 60, lambda: scalar(querier.url, "sum(scrape_samples_scraped)") == 4 * SERIES)
    # The command keeps the querier's file current while shards come and go.
    keeper = Process([KVASS, "render", "--querier", f"--server={kvass.url}", f"--output={querier_file}",
                      f"--reload-url={querier.url}/-/reload", "--watch"], os.path.join(world.directory, "keeper.log"))
    world.started.append(keeper.stop)
    more, more_addresses = world.exporter(f"--series={SERIES}", listeners=2)
    world.configure([static_job("a", addresses + more_addresses)])
    wait_for("a third shard in the querier's file", 90, lambda: open(querier_file).read().count("url:") == 3)
    wait_for("its series in one query", 60, lambda: scalar(querier.url, "sum(scrape_samples_scraped)") == 6 * SERIES)
    body = json.dumps({"stopScrapeReason": "maintenance"})
    assert http(kvass.url + "/api/v1/status/extra_config", "POST", body)[0] == 200
    before = exporter.stats()["scrapes"]
    time.sleep(3)
    assert exporter.stats()["scrapes"] <= before + 4
    wait_for("up to be 0", 30, lambda: scalar(querier.url, "max(up)") == 0)
    assert http(kvass.url + "/api/v1/status/extra_config", "POST", '{"stopScrapeReason":""}')[0] == 200
    wait_for("up to be 1", 30, lambda: scalar(querier.url, "min(up)") == 1)
