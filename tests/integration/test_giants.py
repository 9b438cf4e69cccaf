"""Targets too large for any shard, with real Prometheus servers: split into parts, and followed as they grow and shrink. What all shards
have together is what the target exposes, no histogram is torn apart, and one generation of parts hands over to the next without a gap."""
import http.server
import signal
import threading
import time

from coordinator_harness import Coordinator, Shard, write_shards
from harness import http as call
from harness import query, static_job, wait_for

INTERVAL_S = 2
BUCKETS = ["1", "2", "5", "10", "20", "50", "100", "+Inf"]
UNIT = len(BUCKETS) + 2 + 10  # a histogram and ten gauges


class Giant:
    """Exposes `series` series: units of a histogram and ten gauges."""

    def __init__(self, world, series):
        giant = self
        self.resize(series)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = giant.body
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        world.keep(self)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def resize(self, series):
        self.units = series // UNIT
        lines = ["# TYPE h histogram"]
        for u in range(self.units):
            lines += [f'h_bucket{{u="{u}",le="{le}"}} {n}' for n, le in enumerate(BUCKETS)]
            lines += [f'h_sum{{u="{u}"}} 1', f'h_count{{u="{u}"}} {len(BUCKETS) - 1}']
        lines += ["# TYPE g gauge"] + [f'g{{u="{u}",n="{n}"}} {n}' for u in range(self.units) for n in range(10)]
        self.body = ("\n".join(lines) + "\n").encode()

    def families(self):
        return {"h_bucket": len(BUCKETS) * self.units, "h_sum": self.units, "h_count": self.units, "g": 10 * self.units}


def parts_of(kvass):
    """Those that run, [] while the whole does."""
    targets = kvass.targets("giant")
    return [p for p in targets[0].get("parts", []) if not p["coming"]] if len(targets) == 1 else []


def is_split(kvass, count):
    """Into so many parts, each scraped by one shard, nothing under way."""
    targets = kvass.targets("giant")
    parts = targets[0].get("parts", []) if len(targets) == 1 else []
    return (len(parts) == count and targets[0]["state"] == "assigned" and
            all(not p["coming"] and p["health"] == "up" and len(p["shards"]) == 1 for p in parts))


def prometheus_urls(kvass):
    shards = kvass.shards()
    return [s["prometheusUrl"] for s in (shards.values() if isinstance(shards, dict) else shards)]


def families_now(urls):
    """{name: series} over all servers, of what was scraped last; a series on two of them counts twice."""
    found = {}
    for url in urls:
        for labels, value in query(url, 'count by (__name__) ({job="giant",__name__=~"h_.*|g"})'):
            found[labels["__name__"]] = found.get(labels["__name__"], 0) + int(value)
    return found


def check_union(kvass, giant):
    """Each series once, histograms whole, nothing but up and scrape_* told apart by the part."""
    urls = prometheus_urls(kvass)
    # series of an earlier generation end with stale markers, a few intervals after it
    wait_for("the shards together to have each series once", 60, lambda: families_now(urls) == giant.families())
    for url in urls:
        torn = query(url, f'count by (u) (h_bucket{{job="giant"}}) != {len(BUCKETS)}')
        lonely = query(url, 'h_sum{job="giant"} unless on (u) h_bucket{job="giant"}') + \
            query(url, 'h_bucket{job="giant",le="+Inf"} unless on (u) (h_sum{job="giant"} and on (u) h_count{job="giant"})')
        assert torn == lonely == []
        assert query(url, 'count({job="giant",kvass_part!="",__name__=~"h_.*|g"})') == []
    # of a generation before, up goes stale, too
    wait_for("up of each part and no more", 60, lambda: sorted(
        m["kvass_part"] for url in urls for m, _ in query(url, 'up{job="giant"} == 1')) == sorted(str(p["part"]) for p in parts_of(kvass)))


class Lag:
    """How long this machine lets a process wait at the most, while the test runs."""

    def __init__(self, world):
        self.longest_s, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.measure, daemon=True)
        self.thread.start()
        world.keep(self)

    def measure(self):
        at = time.monotonic()
        while not self.ended.wait(0.1):
            now = time.monotonic()
            self.longest_s, at = max(self.longest_s, now - at - 0.1), now

    def stop(self):
        self.ended.set()
        self.thread.join(10)


def samples_of(urls, span_s):
    """{unit: {server: [seconds]}}, of the sums of the histograms, and how many scrapes of the giant failed."""
    found, failed = {}, 0
    for url in urls:
        for labels, samples in query(url, f'h_sum{{job="giant"}}[{span_s}s]'):
            found.setdefault(labels["u"], {})[url] = [at for at, _ in samples]
        failed += sum(value == "0" for _, samples in query(url, f'up{{job="giant"}}[{span_s}s]') for _, value in samples)
    return found, failed


def runs_of(times, longest_s):
    """[(first, last)] of what has no longer break."""
    runs = [[times[0], times[0]]]
    for at in times[1:]:
        if at - runs[-1][1] > longest_s:
            runs.append([at, at])
        runs[-1][1] = at
    return runs


def check_no_gap(kvass, units, lag, span_s=900):
    """Whoever took over a series began before the one before ended, and over all servers no interval is without a sample: what failed
    or was late, on a loaded machine, is allowed for."""
    found, failed = samples_of(prometheus_urls(kvass), span_s)
    for u in range(units):
        servers = found[str(u)].values()
        runs = sorted(run for times in servers for run in runs_of(times, (4 + failed) * INTERVAL_S + lag.longest_s))
        end = runs[0][1]
        for run in runs[1:]:
            assert run[0] <= end, (u, runs)
            end = max(end, run[1])
        times = sorted(at for of_server in servers for at in of_server)
        gap = max(b - a for a, b in zip(times, times[1:]))
        assert gap <= (2 + failed) * INTERVAL_S + 2 * lag.longest_s, (u, gap, failed, lag.longest_s, found[str(u)])


def check_ledger(kvass, discovered):
    ledger = kvass.get("/api/v1/ledger")
    assert ledger["discovered"] == sum(n for state, n in ledger.items() if state != "discovered") == discovered


def test_a_giant_is_split_grows_and_shrinks_without_a_gap(world):
    giant, lag = Giant(world, 20000), Lag(world)
    _, small = world.exporter("--series=50", listeners=3)
    world.configure([static_job("giant", [giant.address]), static_job("small", small)], interval=f"{INTERVAL_S}s")
    kvass = world.appliance("--shard.max-series=8000", "--split.max-parts=16", "--move.cool-down=5s", "--balance.even-out=0",
                            shards_max=16).wait_ready()
    # 20000 in parts of at most 6400 (the low mark) with what Prometheus adds: four, and a shard for each comes
    wait_for("four parts, scraped", 180, lambda: is_split(kvass, 4))
    check_union(kvass, giant)
    check_ledger(kvass, 4)
    target = kvass.targets("giant")[0]
    assert target["reason"].startswith("split into 4 parts: 0 on shard-") and target["series"] == 20000, target
    assert sum(p["totalSeries"] for p in target["parts"]) == 20000 and all(p["series"] < 6800 for p in target["parts"])
    assert "Part 3 of 4, on shard-" in str(kvass.get("/api/v1/why?job=giant"))
    giant.resize(30000)
    wait_for("more parts, and nothing under way", 240, lambda: len(parts_of(kvass)) > 4 and is_split(kvass, len(parts_of(kvass))))
    assert all(p["series"] < 6800 for p in parts_of(kvass))
    check_union(kvass, giant)
    check_ledger(kvass, 4)
    giant.resize(9000)
    wait_for("fewer parts, and nothing under way", 240, lambda: 1 < len(parts_of(kvass)) < 5 and is_split(kvass, len(parts_of(kvass))))
    check_union(kvass, giant)
    check_no_gap(kvass, giant.units, lag)


def test_the_appliance_is_killed_while_parts_take_over(world):
    giant = Giant(world, 10000)
    world.configure([static_job("giant", [giant.address])], interval=f"{INTERVAL_S}s")
    options = ["--shard.max-series=8000", "--split.max-parts=8", "--move.cool-down=5s", "--balance.even-out=0"]
    kvass = world.appliance(*options).wait_ready()
    wait_for("two parts, scraped", 180, lambda: is_split(kvass, 2))
    before = {p["hash"]: p["shards"] for p in parts_of(kvass)}
    giant.resize(14000)
    wait_for("three parts to be placed beside the two, or to have taken over already", 180,
             lambda: sum(p["of"] == 3 and p["shards"] != [] for p in kvass.targets("giant")[0]["parts"]) == 3)
    kvass.kill(signal.SIGKILL)
    kvass.child.wait()
    kvass = world.appliance(*options, base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    found = wait_for("the parts to be known again", 60, lambda: kvass.targets("giant")[0].get("parts"))
    # what had them has them still, and nothing was planned beside: the two run, or have handed over by now
    assert {p["hash"]: p["shards"] for p in found if p["of"] == 2} in (before, {}), (before, found)
    wait_for("three parts, and nothing under way", 240, lambda: is_split(kvass, 3))
    check_union(kvass, giant)
    check_ledger(kvass, 1)
    assert "too big" not in kvass.targets("giant")[0]["reason"]


def test_a_coordinator_splits_over_sidecars_and_finds_the_parts_again(world):
    giant = Giant(world, 15000)
    world.configure([static_job("giant", [giant.address])], interval=f"{INTERVAL_S}s")
    shards = [Shard(world, f"shard-{i}", ["--split.max-parts=8"]).start() for i in range(3)]
    write_shards(world, [(s.name, s.url) for s in shards])
    limits = ["--shard.max-series=8000", "--move.cool-down=5s", "--shard.failover-grace=120s"]
    c = Coordinator(world, *limits, "--split.max-parts=8").wait_ready()
    wait_for("three parts, scraped", 120, lambda: is_split(c, 3))
    before = {p["hash"]: p["shards"] for p in parts_of(c)}
    assert len({s for shards_of in before.values() for s in shards_of}) == 3
    union = [s.prometheus_url for s in shards]
    wait_for("the shards together to have each series once", 60, lambda: families_now(union) == giant.families())
    assert c.metric("kvass_balancer_target_parts") == 3 and c.metric("kvass_balancer_split_targets") == 1
    check_ledger(c, 1)
    generations = [s.info()["generation"] for s in shards]
    c.stop(signal.SIGKILL)
    c = Coordinator(world, *limits, "--split.max-parts=8", name="second").wait_ready()
    wait_for("the second one to act", 60, lambda: c.role() == "acting" and is_split(c, 3))
    rounds = c.get("/api/v1/shards")["rounds"]
    wait_for("some rounds", 30, lambda: c.get("/api/v1/shards")["rounds"] > rounds + 5)
    assert {p["hash"]: p["shards"] for p in parts_of(c)} == before
    assert all(len(s.holds()["giant"]) == 1 for s in shards) and families_now(union) == giant.families()
    assert all(s.info()["generation"] >= g for s, g in zip(shards, generations))
    # switched off: it fits no shard, so nobody has it any more, in parts or as a whole
    c.stop()
    c = Coordinator(world, *limits, name="third").wait_ready()
    wait_for("it to be too big", 120, lambda: c.targets("giant")[0]["state"] == "too_big" and "parts" not in c.targets("giant")[0])
    wait_for("the parts to go", 120, lambda: not any(s.holds().get("giant") for s in shards))
    check_ledger(c, 1)


def test_shards_that_take_whole_targets_only_are_not_given_parts(world):
    giant = Giant(world, 12000)
    world.configure([static_job("giant", [giant.address])], interval=f"{INTERVAL_S}s")
    shards = [Shard(world, "shard-0", ["--split.max-parts=8"]).start(), Shard(world, "shard-1").start()]
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world, "--shard.max-series=8000", "--split.max-parts=8", "--shard.failover-grace=120s").wait_ready()
    wait_for("it to be too big, and why it is not split", 120, lambda: c.targets("giant")[0]["state"] == "too_big" and
             "not split: shard shard-1 takes whole targets only" in c.targets("giant")[0]["reason"])
    assert not any(s.holds().get("giant") for s in shards)
    assert call(c.url + "/-/healthy")[0] == 200
