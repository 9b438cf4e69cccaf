"""What becomes of targets that are none: dropped ones are shown by job, keep_dropped_targets bounds what is kept of them and nothing
that is counted, and target_limit holds for a job as a whole, however many shards carry it."""
import os

from harness import Prometheus, all_up, config, get_data, http, static_job, wait_for, write

DROP = {"source_labels": ["__address__"], "regex": "dropped.*", "action": "drop"}
DROPPED = [f"dropped{n}:1" for n in range(5)]


def jobs(addresses, **kept):
    """A job without a bound, one that keeps two of five, one that drops nothing."""
    return [static_job("all", addresses + DROPPED, relabel_configs=[DROP]),
            static_job("some", addresses + DROPPED, relabel_configs=[DROP], **kept),
            static_job("none", addresses)]


def pools(data):
    return sorted((t["scrapePool"], t["discoveredLabels"]["__address__"]) for t in data["droppedTargets"])


def test_dropped_targets_by_job(world, version):
    """Beside a real Prometheus of the same configuration; keep_dropped_targets is there from 2.47 on, the counts from 2.48."""
    bounded = version.number >= (2, 48)
    exporter, addresses = world.exporter("--series=10")
    world.configure(jobs(addresses, **({"keep_dropped_targets": 2} if bounded else {})))
    path = os.path.join(world.directory, "prometheus.yml")
    server = world.keep(Prometheus(os.path.join(world.directory, "peer"), path, binary=version.prometheus)).wait_ready()
    kvass = world.appliance("--shard.max-series=6000", "--shard.prometheus-binary=" + version.prometheus).wait_ready()
    wait_for("all up", 60, lambda: all_up(kvass, 3))
    wait_for("the peer's targets", 60, lambda: len(get_data(server.url + "/api/v1/targets")["activeTargets"]) == 3)
    kept = 2 if bounded else 5
    for query in ("", "?scrapePool=all", "?scrapePool=some", "?scrapePool=none", "?scrapePool=other", "?state=active"):
        ours, theirs = (get_data(url + "/api/v1/targets" + query) for url in (kvass.url, server.url))
        assert len(ours["activeTargets"]) == len(theirs["activeTargets"]), query
        assert len(ours["droppedTargets"]) == len(theirs["droppedTargets"]), query
    data = kvass.get("/api/v1/targets")
    found = pools(data)
    assert [a for pool, a in found if pool == "all"] == DROPPED and [pool for pool, _ in found].count("some") == kept
    assert data["droppedTargetCounts"] == {"all": 5, "some": 5, "none": 0}
    if bounded:
        assert data["droppedTargetCounts"] == get_data(server.url + "/api/v1/targets")["droppedTargetCounts"]
    assert kvass.get("/api/v1/ledger")["dropped"] == 10
    assert {pool for pool, _ in pools(kvass.get("/api/v1/targets?scrapePool=some"))} == {"some"}
    assert pools(kvass.get("/api/v1/targets?job=al%2B")) == [("all", a) for a in DROPPED]
    # a job that goes takes its dropped ones with it
    world.configure([static_job("none", addresses)])
    assert http(kvass.url + "/-/reload", "POST", "")[0] == 200
    wait_for("the others to be gone", 60, lambda: all_up(kvass, 1))
    wait_for("their dropped ones as well", 20, lambda: pools(kvass.get("/api/v1/targets")) == [] and kvass.get("/api/v1/ledger")["dropped"] == 0)


def test_target_limit_holds_over_all_shards(world):
    """Four targets on two shards: each shard has two, the limit of three is exceeded all the same."""
    exporter, addresses = world.exporter("--series=1000", listeners=4)
    world.configure([static_job("a", addresses, target_limit=4)])
    kvass = world.appliance("--shard.max-series=3000", "--move.cool-down=0s").wait_ready()
    wait_for("two shards with two targets each", 90,
             lambda: sorted(s["targets"] for s in kvass.shards()) == [2, 2] and all_up(kvass, 4))
    write(os.path.join(world.directory, "prometheus.yml"), config([static_job("a", addresses, target_limit=3), static_job("b", addresses[:1])]))
    assert http(kvass.url + "/-/reload", "POST", "")[0] == 200
    wait_for("none of the job is scraped", 90, lambda: kvass.get("/api/v1/ledger")["over_limit"] == 4 and
             {t["state"] for t in kvass.targets("a")} == {"over_limit"} and all(t["shards"] == [] for t in kvass.targets("a")))
    wait_for("the other job is", 60, lambda: [t["health"] for t in kvass.targets("b")] == ["up"])
