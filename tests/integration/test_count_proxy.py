"""Bodies through the proxy: what a shard's Prometheus makes of each is what kvass counts for its target, for every version: up, samples
scraped and samples after metric relabelling, of good, mutated and refused bodies in text, OpenMetrics and protobuf.

The sizes are those that balancing goes by, as the API shows them. KVASS_LONG=1 sends thousands."""
import os
import time

import pytest

import count_bodies
from harness import Appliance, config, get_data, query, wait_for, write
from sidecar_harness import Beside, target
from test_count_oracle import OPENMETRICS, PROTOBUF, TEXT, Exporter

LONG = os.environ.get("KVASS_LONG") == "1"
TEXTS, OPEN, PROTO = (2500, 1500, 1000) if LONG else (150, 90, 60)
INTERVAL = "30s" if LONG else "5s"
RULES = [{"source_labels": ["__name__"], "regex": "go_.*|c_total", "action": "drop"}, {"regex": "exported_job", "action": "labeldrop"}]


# Its second histogram would be refused, but 3.x does not look at a second sample of one series (docs/versions.md).
REPEATED = count_bodies.family("h", count_bodies.HISTOGRAM, count_bodies.native(), count_bodies.histogram(1.0))


def bodies(native):
    if native:
        return [(b, PROTOBUF) for b in count_bodies.PROTOBUF_ROWS if b != REPEATED] + [(b, TEXT) for b in count_bodies.TEXT_ROWS]
    return ([(b, TEXT) for b in count_bodies.TEXT_ROWS[::4] + count_bodies.generate(61, TEXTS)] +
            [(b, OPENMETRICS) for b in count_bodies.OPENMETRICS_ROWS[::4] + count_bodies.generate(62, OPEN, openmetrics=True)] +
            [(b, PROTOBUF) for b in count_bodies.PROTOBUF_ROWS[::4] + count_bodies.generate_protobuf(63, PROTO)] +
            [(b"a 1\n", "text/html"), (b"a 1\n", ""), (b"a 1\n", "application/json")])


def by_instance(url, name):
    return {r["instance"]: float(v) for r, v in query(url, name)}


@pytest.mark.parametrize("features", [[], ["--shard.prometheus-args=--enable-feature=native-histograms"]], ids=["plain", "native"])
def test_figures_through_the_proxy(version, features, tmp_path):
    cases = bodies(bool(features))
    exporter = Exporter(cases)
    groups = [{"targets": [exporter.address], "labels": {"instance": str(i), "__metrics_path__": f"/b/{i}"}} for i in range(len(cases))]
    path = tmp_path / "prometheus.yml"
    write(path, config([{"job_name": "bodies", "static_configs": groups, "metric_relabel_configs": RULES}], interval=INTERVAL))
    kvass = Appliance(str(tmp_path), str(path), ["--coordinator.interval=1s", "--shard.max-series=10000000",
                                                 f"--shard.prometheus-binary={version.prometheus}", *features], shards_max=1)
    try:
        kvass.wait_ready()
        (shard,) = wait_for("the shard", 60, kvass.shards)
        url = shard["prometheusUrl"]
        wait_for("every body scraped", 400, lambda: len(query(url, "scrape_series_added")) == len(cases), pause=1)
        up, scraped, post = (by_instance(url, m) for m in ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"))
        errors = {t["labels"]["instance"]: t["lastError"] for t in get_data(url + "/api/v1/targets?state=active")["activeTargets"]}
        wait_for("every target's outcome", 60, lambda: all(t["health"] != "unknown" for t in kvass.targets()))
        differences = []
        for t in kvass.targets():
            i = t["labels"]["instance"]
            if (t["health"] == "up") != (up[i] == 1):
                differences.append((cases[int(i)], t["health"], t["lastError"], "prometheus", up[i], errors[i]))
            elif up[i] == 1 and (t["totalSeries"], t["series"]) != (scraped[i], post[i]):
                differences.append((cases[int(i)], t["totalSeries"], t["series"], "prometheus", scraped[i], post[i]))
        assert differences == [], differences[:10]
        assert 0.2 < sum(up.values()) / len(cases) < 0.95
    finally:
        kvass.stop()
        exporter.close()


def test_figures_of_a_server_with_the_feature(world, version):
    """A sidecar did not start its Prometheus, so it asks which flags that one has: it counts as one that takes native histograms in,
    after a restart of its own too, and no more once that one has come back without."""
    cases = bodies(native=True)
    exporter = Exporter(cases)
    world.started.append(exporter.close)
    pair = Beside(world, ["--config.file="], ["--enable-feature=exemplar-storage,native-histograms", "--enable-feature=extra-scrape-metrics"],
                  binary=version.prometheus).start_kvass().start_prometheus()
    assert pair.push_config(config([{"job_name": "a", "metric_relabel_configs": RULES}], interval="2s"))[0] == 200
    targets = [target(exporter.address, i + 1, instance=str(i), __metrics_path__=f"/b/{i}") for i in range(len(cases))]
    assert pair.push_targets({"a": targets})[0] == 200

    def figures():
        """Prometheus', and kvass' in the same form."""
        up, scraped, post = (pair.values(m) for m in ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"))
        statuses = pair.statuses()
        theirs = {i: (up[i] == 1, *((scraped.get(i), post.get(i)) if up[i] else ())) for i in up}
        ours = {str(int(h) - 1): (s["health"] == "up", *((s["totalSeries"], s["series"]) if s["health"] == "up" else ()))
                for h, s in statuses.items()}
        return theirs, ours

    def agreed(since):
        """When all have been scraped since then, and both say the same."""
        scraped_at = pair.values("timestamp(up)")
        theirs, ours = figures()
        return theirs if len(theirs) == len(cases) and min(scraped_at.values()) > since and theirs == ours else None

    on = wait_for("the figures with native histograms", 300, lambda: agreed(0))
    pair.kvass.stop()
    pair.start_kvass()
    restarted = time.time()
    assert wait_for("the figures after a restart of kvass", 300, lambda: agreed(restarted)) == on
    pair.prometheus.stop()
    pair.prometheus_options = []
    pair.start_prometheus()
    restarted = time.time()
    off = wait_for("the figures without", 300, lambda: agreed(restarted))
    changed = [i for i in on if on[i] != off[i]]
    assert changed and all(cases[int(i)][1] == PROTOBUF for i in changed)
