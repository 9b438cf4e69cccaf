"""Parts of a target: what a Prometheus of each version stores of all parts, scraped through the proxy of a sidecar, is what another stores
of the whole, scraped directly: every series with its value and its exemplars, none twice; up and scrape_* told apart; what refuses the
whole refuses every part."""
import json
import os
import random
import time
import urllib.request

from count_bodies import COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, INF, SUMMARY, family, field, histogram, label, native
from harness import Prometheus, get_data, http, query, wait_for, write
from sidecar_harness import PATIENCE, Beside, target
from test_count_oracle import OPENMETRICS, PROTOBUF, TEXT, Exporter

PARTS = 3
OWN = ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
VALUES = ["a", "\u00e9t\u00e9", "q\\\"q", "b\\\\", "n\\n", "{,}=", "x y", "#"]


def text_body(rng, now_ms):
    lines = ["# a comment", "# HELP h A histogram with \\\\ in it", "# TYPE h histogram"]
    for i in range(40):
        own = f'v="{rng.choice(VALUES)}",i="{i}"'
        for le in ("0.5", "1", "+Inf"):
            lines.append(f'h_bucket{{{own},le="{le}"}} {i}' if i % 2 else f'h_bucket{{le="{le}",{own}}} {i}')
        lines += [f"h_sum{{{own}}} {i}.5", f'h_count {{ {own} , e="" }} {i}']
    lines += ["# TYPE s summary"]
    for i in range(20):
        lines += [f's{{i="{i}",quantile="{q}"}} {i}' for q in ("0.5", "0.99")] + [f's_sum{{i="{i}"}} {i}', f's_count{{i="{i}"}} 1']
    lines += ["# TYPE c_total counter", "# HELP c_total"]
    lines += [f'c_total{{i="{i}",v="{rng.choice(VALUES)}"}} {i} {now_ms}' for i in range(50)]
    lines += [f"plain_{i} {i}" for i in range(50)] + ['raw{x="1\n2"} 1', 'exposed{instance="mine",kvass_part="9",job=""} 1', "", "last 1e3"]
    return "\n".join(lines).encode()


def openmetrics_body(now):
    lines = ["# TYPE c counter", "# HELP c A counter", "# TYPE h_seconds histogram", "# UNIT h_seconds seconds"]
    for i in range(30):
        own = f'i="{i}",x="# {{"'
        lines += [f'h_seconds_bucket{{{own},le="1.0"}} {i} # {{trace="{i}"}} 0.5 {now}', f'h_seconds_bucket{{{own},le="+Inf"}} {i}',
                  f"h_seconds_sum{{{own}}} {i}", f"h_seconds_count{{{own}}} {i}", f"h_seconds_created{{{own}}} {now}"]
    lines += ["# TYPE c counter"]
    for i in range(30):
        lines += [f'c_total{{i="{i}"}} {i} {now} # {{trace="c{i}"}} 1', f'c_created{{i="{i}"}} {now}']
    lines += ["# TYPE g gaugehistogram"]
    for i in range(10):
        lines += [f'g_bucket{{i="{i}",le="+Inf"}} 1', f'g_gcount{{i="{i}"}} 1', f'g_gsum{{i="{i}"}} 1']
    lines += ["# TYPE n info", 'n_info{v="1"} 1', "# TYPE st stateset"] + [f'st{{st="{i}"}} 1' for i in range(5)] + ["# EOF"]
    return ("\n".join(lines) + "\n").encode()


def quoted_body():
    lines = ['# TYPE "a.b" histogram', '# HELP "a.b" dotted']
    for i in range(30):
        lines += [f'{{"a.b_bucket",i="{i}","x.y"="1",le="+Inf"}} {i}', f'{{"x.y"="1",i="{i}","a.b_sum"}} {i}',
                  f'{{"a.b_count", i="{i}", "x.y"="1"}} {i}', f'plain{{i="{i}","\u00fc"="1"}} {i}']
    return ("\n".join(lines) + "\n").encode()


def protobuf_body(native_too):
    exemplar = field(2, label("trace", "t") + field(2, 1.0) + field(3, field(1, int(time.time()))))
    body = family("c_total", COUNTER, *(label("i", str(i)) + field(3, field(1, float(i)) + exemplar) for i in range(40)))
    body += family("g", GAUGE, *(label("i", str(i)) + field(2, field(1, float(i))) for i in range(40)))
    body += family("s", SUMMARY, *(label("i", str(i)) + field(4, field(1, 3) + field(2, 1.0) + field(3, field(1, 0.5) + field(2, 1.0)))
                                   for i in range(20)))
    body += family("h", HISTOGRAM, *(label("i", str(i)) + histogram(0.1, 1.0, INF) for i in range(20)))
    body += family("gh", GAUGE_HISTOGRAM, *(label("i", str(i)) + histogram(0.1, INF) for i in range(1)))
    body += family("one", GAUGE, field(2, field(1, 1.0)))
    # longer than a line may be: comes out in pieces
    body += family("large", GAUGE, *(label("i", str(i)) + label("pad", "p" * 300) + field(2, field(1, float(i))) for i in range(4000)))
    if native_too:
        body += family("n", HISTOGRAM, *(label("i", str(i)) + native() for i in range(20)))
    return body


RULES = {
    "plain": {},
    "honest": {"honor_labels": True},
    "ruled": {"metric_relabel_configs": [
        {"source_labels": ["__name__"], "regex": "plain_.*|h_seconds_sum", "action": "drop"},
        {"source_labels": ["kvass_part", "i"], "regex": ";1.*", "action": "drop"},
        {"regex": "x", "action": "labeldrop"}]},
    "limited": {"label_limit": 40, "body_size_limit": "64MB"},
}


CAPPED = {"capped": {"sample_limit": 300}}


def part_of(address, case, job, part, parts, **labels):
    return target(address, 1 + part + 64 * parts + 10000 * (case + 100 * list(RULES | CAPPED).index(job)), job, instance=str(case),
                  __metrics_path__=f"/b/{case}", kvass_part=str(part), __kvass_parts__=str(parts), **labels)


def direct_config(address, cases, interval):
    groups = [{"targets": [address], "labels": {"instance": str(i), "__metrics_path__": f"/b/{i}"}} for i in range(cases)]
    return {"global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [{"job_name": job, "static_configs": groups, **more} for job, more in (RULES | CAPPED).items()]}


def stored(url, without=""):
    """{labels: value} of what targets exposed, at this moment."""
    own = "|".join(OWN + (without,))
    return {tuple(sorted(m.items())): v for m, v in query(url, f'{{__name__=~".+",__name__!~"{own}"}}')}


def with_reserved_label(labels):
    """What becomes of a kvass_part that the target itself exposes: it loses to the part's, as its instance does."""
    loses = any(n == "exported_instance" for n, _ in labels)
    more = [("exported_kvass_part", v) for n, v in labels if n == "kvass_part" and loses]
    return tuple(sorted([pair for pair in labels if pair[0] != "kvass_part"] + more))


def exemplars(url):
    now = time.time()
    data = get_data(f"{url}/api/v1/query_exemplars?query=%7B__name__%3D~%22.%2B%22%7D&start={now - 600:.0f}&end={now + 60:.0f}")
    return {(tuple(sorted(s["seriesLabels"].items())), tuple(sorted(e["labels"].items())), e["value"])
            for s in data for e in s["exemplars"]}


def figures(url, name):
    """{(job, case): {part: value}}"""
    found = {}
    for m, v in query(url, name):
        found.setdefault((m["job"], m["instance"]), {})[m.get("kvass_part")] = float(v)
    return found


def eventually(check, seconds=120):
    """Bodies stay the same, so what holds, holds after a scrape that was late on a busy machine, too."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


class Pair:
    """A sidecar with its Prometheus, and a Prometheus that scrapes the same bodies directly."""

    def __init__(self, world, version, bodies, parts=PARTS, jobs=tuple(RULES), interval="2s"):
        features = ["--enable-feature=exemplar-storage,native-histograms", "--query.lookback-delta=1h"]
        self.exporter = Exporter(bodies)
        world.started.append(self.exporter.close)
        config = direct_config(self.exporter.address, len(bodies), interval)
        config["scrape_configs"] = [j for j in config["scrape_configs"] if j["job_name"] in jobs]
        config_path = os.path.join(world.directory, "direct.yml")
        write(config_path, json.dumps(config))
        self.sidecar = Beside(world, ["--config.file=", "--split.max-parts=8",
                                       "--prometheus.version=" + version.full.split("+")[0]], features, binary=version.prometheus)
        self.sidecar.start_kvass()
        assert self.sidecar.push_config(json.dumps(config)) == (200, {"status": "success"})
        targets = {job: [part_of(self.exporter.address, case, job, p, parts) for case in range(len(bodies)) for p in range(parts)]
                   for job in jobs}
        assert self.sidecar.push_targets(targets) == (200, {"status": "success"})
        self.direct = world.keep(Prometheus(os.path.join(world.directory, "direct"), config_path, features, version.prometheus))
        self.sidecar.start_prometheus()
        self.direct.wait_ready()
        self.url, self.count = self.sidecar.prometheus_url, len(bodies) * len(jobs)
        wait_for("the wholes", 120, lambda: len(query(self.direct.url, "scrape_series_added")) == self.count)
        wait_for("the parts", 120, lambda: len(query(self.url, "scrape_series_added")) == self.count * parts)
        wait_for("outcomes", 60, lambda: all(s["health"] != "unknown" for s in self.sidecar.statuses().values()))


def check_series(pair):
    want = {with_reserved_label(labels): value for labels, value in stored(pair.direct.url).items()}
    assert len(want) > 5000
    got = stored(pair.url)
    assert got.keys() - want.keys() == set() and want.keys() - got.keys() == set()
    assert got == want
    want_exemplars = exemplars(pair.direct.url)
    assert len(want_exemplars) >= 60 and exemplars(pair.url) == want_exemplars


def check_sums(pair):
    """None is stored twice: what was appended for the parts adds up."""
    for name in ("scrape_samples_scraped", "scrape_samples_post_metric_relabeling"):
        whole, parts = figures(pair.direct.url, name), figures(pair.url, name)
        assert whole.keys() == parts.keys()
        for key, by_part in parts.items():
            assert set(by_part) == {"0", "1", "2"}, key
            assert sum(by_part.values()) == whole[key][None], key
            assert min(by_part.values()) > whole[key][None] / PARTS / 4, (key, by_part)
    assert {tuple(sorted(v.values())) for v in figures(pair.url, "up").values()} == {(1.0, 1.0, 1.0)}


def check_statuses(pair, cases):
    """kvass' own figures are Prometheus'."""
    statuses, scraped = pair.sidecar.statuses(), figures(pair.url, "scrape_samples_scraped")
    kept, whole = (figures(u, "scrape_samples_post_metric_relabeling") for u in (pair.url, pair.direct.url))
    for job in RULES:
        for case, part in ((c, p) for c in range(cases) for p in range(PARTS)):
            s = statuses[str(part_of("", case, job, part, PARTS)["hash"])]
            key = job, str(case)
            assert s["health"] == "up" and s["lastError"] == ""
            assert (s["totalSeries"], s["series"]) == (scraped[key][str(part)], kept[key][str(part)]), (key, part)
            assert s["wholeSeries"] == whole[key][None] and s["wholeTotalSeries"] > s["totalSeries"]


def test_parts_make_the_whole(world, version):
    rng, now = random.Random(5), time.time()
    bodies = [(text_body(rng, int(now * 1000)), TEXT), (openmetrics_body(int(now)), OPENMETRICS), (protobuf_body(False), PROTOBUF)]
    if version.major >= 3:
        bodies.append((quoted_body(), TEXT_1))
    pair = Pair(world, version, bodies, interval="5s")
    eventually(lambda: check_series(pair))
    eventually(lambda: check_sums(pair))
    eventually(lambda: check_statuses(pair, len(bodies)))


def test_metadata_and_samples(world, version):
    body = text_body(random.Random(6), int(time.time() * 1000))
    pair = Pair(world, version, [(body, TEXT)], jobs=("plain",))

    def check_metadata():
        want = get_data(pair.direct.url + "/api/v1/metadata")
        assert {"h", "s", "c_total"} <= set(want)
        assert get_data(pair.url + "/api/v1/metadata") == want
        of_parts = get_data(pair.url + "/api/v1/targets/metadata")
        for part in "012":
            assert {m["metric"] for m in of_parts if m["target"]["kvass_part"] == part} == set(want)

    def check_families():
        found = get_data(pair.sidecar.url + "/api/v1/shard/samples?job=plain&with_metrics_detail=true")["plain"]
        scraped = figures(pair.direct.url, "scrape_samples_scraped")["plain", "0"][None]
        assert found["scrapedTotal"] == scraped
        assert sum(f["scraped"] for f in (found["metricsTotal"] or {}).values()) == scraped
        assert found["metricsTotal"]["h_bucket"]["scraped"] == 120

    eventually(check_metadata)
    eventually(check_families)


def test_native_histograms_stay_whole(world, version):
    pair = Pair(world, version, [(protobuf_body(True), PROTOBUF)], jobs=("plain",))

    def check():
        assert all(s["health"] == "up" for s in pair.sidecar.statuses().values())
        assert {m["i"]: v for m, v in query(pair.url, "histogram_count(n)")} == {str(i): "3" for i in range(20)}
        assert stored(pair.url, without="n") == stored(pair.direct.url, without="n")
        whole, parts = (figures(u, "scrape_samples_scraped")["plain", "0"] for u in (pair.direct.url, pair.url))
        assert sum(parts.values()) == whole[None]

    eventually(check)


def test_what_refuses_the_whole_refuses_every_part(world, version):
    good = text_body(random.Random(7), int(time.time() * 1000))
    bad = [(good + b"\nbroken{x=} 1\n", TEXT), (b"a 1\n", OPENMETRICS), (protobuf_body(False)[:-1], PROTOBUF),
           (good + b"\n" + b"b{" + b",".join(b'l%d="1"' % i for i in range(60)) + b"} 1\n", TEXT)]
    pair = Pair(world, version, bad, jobs=("limited",))

    def check():
        assert all(v == {None: 0.0} for v in figures(pair.direct.url, "up").values())
        assert all(v == {"0": 0.0, "1": 0.0, "2": 0.0} for v in figures(pair.url, "up").values())
        statuses = pair.sidecar.statuses()
        assert len(statuses) == 12 and all(s["health"] == "down" and s["lastError"] != "" for s in statuses.values())
        assert "label_limit exceeded" in statuses[str(part_of("", 3, "limited", 1, PARTS)["hash"])]["lastError"]

    eventually(check)
    assert stored(pair.url) == {}


def test_sample_limit_is_each_part_s(world, version):
    body = text_body(random.Random(8), int(time.time() * 1000))
    pair = Pair(world, version, [(body, TEXT)], parts=4, jobs=("capped",))

    def check():
        assert figures(pair.direct.url, "up") == {("capped", "0"): {None: 0.0}}
        assert figures(pair.url, "up") == {("capped", "0"): {str(p): 1.0 for p in range(4)}}
        assert len(stored(pair.url)) > 300

    eventually(check)


def test_a_sidecar_without_the_option_refuses_parts(world):
    exporter, (address,) = world.exporter()
    pair = Beside(world, ["--config.file="]).start_kvass()
    assert pair.push_config(json.dumps({"scrape_configs": [{"job_name": "plain"}]}))[0] == 200
    assert "maxParts" not in pair.info()
    status, answer = pair.push_targets({"plain": [part_of(address, 0, "plain", 0, 2)]})
    assert status == 400 and "--split.max-parts" in answer["error"]
    assert pair.statuses() == {}
    # half a pair of labels is no part
    whole = target(address, 5, "plain", kvass_part="1")
    assert pair.push_targets({"plain": [whole]})[0] == 200
    wait_for("its outcome", 60, lambda: set(pair.statuses()) == {"5"})
    assert "kvass_part" not in open(pair.output).read()


def test_parts_survive_a_restart_and_the_option(world):
    exporter, (address,) = world.exporter("--series=100")
    pair = Beside(world, ["--config.file="]).start_kvass("--split.max-parts=4")
    assert pair.push_config(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "plain"}]}))[0] == 200
    assert pair.info()["maxParts"] == 4
    targets = [target(address, 1 + p, "plain", kvass_part=str(p), __kvass_parts__="2") for p in range(2)]
    assert pair.push_targets({"plain": targets})[0] == 200
    pair.start_prometheus().wait_acknowledged(generation=1)
    wait_for("both up", 60, lambda: pair.all_up(2))
    assert sum(s["totalSeries"] for s in pair.statuses().values()) == 100
    assert all(s["wholeTotalSeries"] == 100 for s in pair.statuses().values())
    pair.kvass.stop()
    pair.start_kvass()  # the option is gone: what it holds is served as before
    scrapes = {h: s["ScrapeTimes"] for h, s in pair.statuses().items()}
    wait_for("more scrapes", 60, lambda: all(s["ScrapeTimes"] > scrapes[h] and s["health"] == "up" for h, s in pair.statuses().items()))
    assert "regex: kvass_part" in open(pair.output).read()
    assert len(query(pair.prometheus_url, "count by (kvass_part) (up)")) == 2
    assert query(pair.prometheus_url, '{__name__!~"up|scrape_.*",kvass_part=~".+"}') == []


def test_parts_are_never_compressed(world):
    """Through the proxy by hand: identity comes out, whatever the target sent and the proxy was told."""
    exporter, (address,) = world.exporter("--series=2000")
    pair = Beside(world, ["--config.file=", "--split.max-parts=8", "--scrape.pass-compressed"]).start_kvass()
    assert pair.push_config(json.dumps({"scrape_configs": [{"job_name": "plain"}]}))[0] == 200
    targets = [target(address, 1 + p, "plain", kvass_part=str(p), __kvass_parts__="5") for p in range(5)]
    assert pair.push_targets({"plain": targets})[0] == 200
    wait_for("the assignment", 60, lambda: len(pair.statuses()) == 5)
    samples = []
    for part in range(5):
        request = urllib.request.Request(f"http://{address}/metrics?_hash={1 + part}&_jobName=plain&_scheme=http",
                                         headers={"Accept-Encoding": "gzip"})
        request.set_proxy(f"127.0.0.1:{pair.proxy_port}", "http")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200 and answer.headers["Content-Encoding"] is None
            samples += [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    whole = [line for line in http(f"http://{address}/metrics")[1].splitlines() if not line.startswith("#")]
    assert sorted(samples) == sorted(whole) and len(whole) == 2000
