"""The coordinator over real sidecars with real Prometheus servers: the main job, moves, failures, restarts, fencing."""
import json
import os
import signal

from coordinator_harness import Coordinator, Shard, write_shards
from harness import http, query, static_job, wait_for, write

SERIES = 100


def start_shards(world, count=3, prefix="shard"):
    return [Shard(world, f"{prefix}-{i}").start() for i in range(count)]


def make_targets(world, count, series=SERIES):
    """One job on one exporter with several listeners."""
    exporter, addresses = world.exporter(f"--series={series}", listeners=count)
    world.configure([static_job("app", addresses)])
    return exporter, addresses


def held(shards):
    return {s.name: s.holds().get("app", []) for s in shards}


def test_main_job(world):
    """Every target is scraped exactly once, by the shard it was given to, and Prometheus' own figures agree."""
    _, addresses = make_targets(world, 9)
    shards = start_shards(world)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world, "--shard.max-series=1000").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(9))
    spread = held(shards)
    assert sorted(sum(spread.values(), [])) == sorted(addresses)
    assert max(map(len, spread.values())) - min(map(len, spread.values())) <= 1, spread

    def agreed():
        seen = [s.instances("up == 1") for s in shards]
        return all(sorted(seen[i]) == spread[s.name] for i, s in enumerate(shards))

    wait_for("each Prometheus to scrape what its shard was given", 30, agreed)
    assert all(t["series"] == SERIES for t in c.targets()), c.targets()[0]
    wait_for("the sum of the shards", 30, lambda: c.get("/api/v1/runtimeinfo")["processSeries"] == 9 * SERIES)
    samples = c.get("/api/v1/samples")["app"]
    assert samples["total"] == 9 * SERIES  # interval of one second
    ledger = c.get("/api/v1/ledger")
    assert ledger["assigned"] == ledger["discovered"] == 9
    # settled: nothing is posted any more
    generations = [s.info()["generation"] for s in shards]
    rounds = c.get("/api/v1/shards")["rounds"]
    wait_for("ten more rounds", 30, lambda: c.get("/api/v1/shards")["rounds"] > rounds + 10)
    assert [s.info()["generation"] for s in shards] == generations
    assert "password" not in json.dumps(c.get("/api/v1/status/config"))


def test_secrets_are_redacted_and_pushed(world):
    """The shards get the password, people do not."""
    shards = start_shards(world, 1)
    _, addresses = world.exporter("--series=10")
    job = static_job("app", addresses, basic_auth={"username": "u", "password": "hidden-word"})
    world.configure([job])
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world).wait_ready()
    wait_for("the target", 60, lambda: c.all_up(1))
    shown = c.get("/api/v1/status/config")["yaml"]
    assert "<secret>" in shown and "hidden-word" not in shown
    wait_for("the shard to run it", 30, lambda: c.shards()["shard-0"]["error"] == "" and
             c.shards()["shard-0"]["configGeneration"] == 1)
    # an edit reaches the shard
    job["params"] = {"x": ["1"]}
    world.configure([job])
    assert http(c.url + "/-/reload", "POST")[0] == 200
    wait_for("the new generation", 30, lambda: c.shards()["shard-0"]["configGeneration"] == 2)
    wait_for("the target under its new URL", 60, lambda: c.all_up(1) and "x=1" in c.targets()[0]["scrapeUrl"])
    # a bad one reaches nobody
    write(os.path.join(world.directory, "prometheus.yml"), "scrape_configs: [{job_name: a, no_such_key: 1}]")
    assert http(c.url + "/-/reload", "POST")[0] == 500
    wait_for("the target with its new URL", 60, lambda: c.all_up(1))


def missed_scrapes(shards, instance):
    """Seconds between two neighbouring samples of a target over all shards, the largest."""
    times = []
    for s in shards:
        for _, values in query(s.prometheus_url, f'up{{instance="{instance}"}}[5m]'):
            times += [float(t) for t, v in values if v == "1"]
    times.sort()
    return max((b - a for a, b in zip(times, times[1:])), default=0)


def test_growth_moves_without_a_gap(world):
    exporter, addresses = make_targets(world, 6)
    shards = start_shards(world, 2)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world, "--shard.max-series=1000", "--balance.even-out=0", "--move.cool-down=0s").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(6))
    by_shard = held(shards)
    full = max(by_shard, key=lambda k: len(by_shard[k]))
    grown = by_shard[full][0]
    exporter.control("series=750", addresses.index(grown))
    wait_for("moves to end", 90, lambda: [m for m in c.get("/api/v1/moves") if m["state"] == "finished"] and
             not [m for m in c.get("/api/v1/moves") if m["state"] == "running"])
    moved = {m["url"].split("/")[2] for m in c.get("/api/v1/moves") if m["state"] == "finished"}
    wait_for("all settled", 60, lambda: c.all_up(6))
    wait_for("the source to let go", 60, lambda: sorted(sum(held(shards).values(), [])) == sorted(addresses))
    for instance in moved:
        assert missed_scrapes(shards, instance) < 2.0, instance
    why = c.why(url=f"http://{sorted(moved)[0]}/metrics")["targets"][0]["why"]
    assert any("move_finish" in line for line in why), why


def test_killed_shard_fails_over_and_comes_back(world):
    _, addresses = make_targets(world, 6)
    shards = start_shards(world)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world, "--balance.even-out=0").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(6))
    victim = shards[1]
    lost = held(shards)[victim.name]
    assert lost
    victim.kill()
    wait_for("the shard to be unreachable", 30, lambda: c.shards()[victim.name]["health"] == "unreachable")
    assert sorted(sum(held([shards[0], shards[2]]).values(), [])) == sorted(set(addresses) - set(lost))  # the grace runs
    wait_for("fail-over", 60, lambda: sorted(sum(held([shards[0], shards[2]]).values(), [])) == sorted(addresses))
    wait_for("the others to scrape them", 60, lambda: c.all_up(6))
    victim.start()
    wait_for("the shard to be back", 60, lambda: c.shards()[victim.name]["health"] == "ready")
    wait_for("no double to last", 60, lambda: sorted(sum(held(shards).values(), [])) == sorted(addresses))
    assert c.all_up(6)
    told = [line for line in c.output().splitlines() if f"op=shard shard={victim.name} " in line]
    assert any("health=unreachable err=" in line for line in told), told
    assert "health=ready" in told[-1] and "err=" not in told[-1], told  # the old error is over


def test_restart_of_the_coordinator_changes_nothing(world):
    _, addresses = make_targets(world, 9)
    shards = start_shards(world)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(9))
    before, owners = held(shards), c.owners()
    reloads = [s.instances("prometheus_config_last_reload_success_timestamp_seconds") for s in shards]
    epochs = [s.info()["epoch"] for s in shards]
    c.stop(signal.SIGKILL)
    again = Coordinator(world, name="again").wait_ready()
    wait_for("all targets up again", 60, lambda: again.all_up(9))
    assert held(shards) == before and again.owners() == owners
    rounds = again.get("/api/v1/shards")["rounds"]
    wait_for("five more rounds", 30, lambda: again.get("/api/v1/shards")["rounds"] > rounds + 5)
    assert held(shards) == before and again.owners() == owners
    assert again.get("/api/v1/moves") == []
    assert [s.instances("prometheus_config_last_reload_success_timestamp_seconds") for s in shards] == reloads
    wait_for("the larger epoch everywhere", 30, lambda: all(s.info()["epoch"] == e + 1 for s, e in zip(shards, epochs)))
    for a in addresses:
        assert missed_scrapes(shards, a) < 2.0, a
    assert "op=assign" not in again.output() and "op=move" not in again.output()


def test_restart_waits_for_a_silent_shard(world):
    """With one shard away nothing is placed anew until the grace is over."""
    _, addresses = make_targets(world, 6)
    shards = start_shards(world)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(6))
    before = held(shards)
    c.stop(signal.SIGKILL)
    shards[2].sidecar.stop(signal.SIGKILL)
    again = Coordinator(world, "--shard.failover-grace=60s", name="again")
    wait_for("it to wait for the shard", 30, lambda: again.role() == "waiting" and
             "1 of 3 shards" in again.get("/api/v1/shards")["blocked"])
    status, text = http(again.url + "/-/ready")
    assert status == 503 and "shard-2" in text
    assert held(shards[:2]) == {k: v for k, v in before.items() if k != "shard-2"}
    shards[2].start_sidecar()
    wait_for("it to act", 30, lambda: again.role() == "acting")
    wait_for("all targets up", 60, lambda: again.all_up(6))
    assert held(shards) == before


def test_the_newer_of_two_coordinators_acts(world):
    make_targets(world, 4)
    shards = start_shards(world, 2)
    write_shards(world, [(s.name, s.url) for s in shards])
    old = Coordinator(world, name="old").wait_ready()
    wait_for("all targets up", 60, lambda: old.all_up(4))
    new = Coordinator(world, name="new").wait_ready()
    wait_for("the old one to stop acting", 30, lambda: old.role() == "fenced")
    status, text = http(old.url + "/-/ready")
    assert status == 503 and "another coordinator is newer" in text
    wait_for("the metrics to say so", 30, lambda: old.metric("kvass_balancer_acting") == 0 and
             new.metric("kvass_balancer_acting") == 1)
    # only the new one's configuration counts
    write_shards(world, [(s.name, s.url) for s in shards])
    _, more = world.exporter(f"--series={SERIES}", listeners=2)
    world.configure([static_job("app", more)])
    assert http(new.url + "/-/reload", "POST")[0] == 200
    wait_for("the new targets", 60, lambda: new.all_up(2))
    assert sorted(sum(held(shards).values(), [])) == sorted(more)
    assert "level=error" in old.output() and "op=fenced" in old.output()


def test_static_file_is_followed(world):
    _, addresses = make_targets(world, 6)
    shards = start_shards(world, 3)
    write_shards(world, [(s.name, s.url) for s in shards[:2]])
    c = Coordinator(world, "--shard.max-series=500", "--balance.even-out=1.05", "--move.cool-down=0s").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(6))
    write(os.path.join(world.directory, "shards.yaml"), "replicas: [{shards: [{id: a, url: 'ftp://x'}]}]")
    wait_for("the bad file to be refused", 30, lambda: "'ftp://x' is no URL" in c.output())
    assert sorted(c.shards()) == ["shard-0", "shard-1"] and c.all_up(6)
    write_shards(world, [(s.name, s.url) for s in shards[:2]] + [{"id": "shard-2", "url": shards[2].url, "capacity": 5000}])
    wait_for("the third shard", 30, lambda: c.shards().get("shard-2", {}).get("health") == "ready")
    assert c.shards()["shard-2"]["limitSeries"] == 5000
    wait_for("targets on it", 60, lambda: held(shards)["shard-2"])
    wait_for("rest", 90, lambda: c.all_up(6) and sorted(sum(held(shards).values(), [])) == sorted(addresses))
    # the first line goes: the other shards keep what they have
    before = held(shards)
    write_shards(world, [("shard-1", shards[1].url), {"id": "shard-2", "url": shards[2].url, "capacity": 5000}])
    wait_for("the shard to be gone", 30, lambda: "shard-0" not in c.shards())
    wait_for("its targets elsewhere", 60, lambda: set(before["shard-0"]) <= set(sum(held(shards[1:]).values(), [])))
    now = held(shards)
    assert set(before["shard-1"]) <= set(now["shard-1"]) and set(before["shard-2"]) <= set(now["shard-2"])


def test_mirrored_replicas_carry_the_same(world):
    _, addresses = make_targets(world, 4)
    a, b = start_shards(world, 2, "a"), start_shards(world, 2, "b")
    write_shards(world, [(s.name, s.url) for s in a], [(s.name, s.url) for s in b])
    c = Coordinator(world).wait_ready()
    wait_for("all targets up on both", 60, lambda: c.all_up(4, owners=2))
    wait_for("pairs to be equal", 30, lambda: [s.holds() for s in a] == [s.holds() for s in b])
    assert sorted(sum(held(a).values(), [])) == sorted(addresses)
    # one of a pair dies: nothing moves, the group lives on
    before = held(a)
    b[0].kill()
    wait_for("it to be unreachable", 30, lambda: c.shards()["b-0"]["health"] == "unreachable")
    rounds = c.get("/api/v1/shards")["rounds"]
    wait_for("the grace and more", 60, lambda: c.get("/api/v1/shards")["rounds"] > rounds + 12)
    assert held(a) == before and c.get("/api/v1/moves") == []
    b[0].start()
    wait_for("the pair to be equal again", 60, lambda: b[0].holds() == a[0].holds())


def test_stop_scraping_reaches_every_shard_and_survives(world):
    make_targets(world, 2)
    shards = start_shards(world, 2)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(2))
    body = json.dumps({"stopScrapeReason": "maintenance"})
    assert http(c.url + "/api/v1/status/extra_config", "POST", body)[0] == 200
    wait_for("scrapes to fail", 30, lambda: all(set(s.instances().values()) == {"0"} for s in shards))
    c.stop(signal.SIGKILL)
    again = Coordinator(world, name="again").wait_ready()
    reason = json.loads(again.get("/api/v1/status/extra_config")["json"])["stopScrapeReason"]
    assert reason == "maintenance"
    assert http(again.url + "/api/v1/status/extra_config", "POST", '{"stopScrapeReason":""}')[0] == 200
    wait_for("scrapes again", 30, lambda: all(set(s.instances().values()) == {"1"} for s in shards))


def test_samples_by_metric(world):
    """Counted by the sidecars, put together here: per second, over shards and intervals; a shard that is away is made up for."""
    _, addresses = make_targets(world, 4)
    world.configure([static_job("app", addresses[:3], scrape_interval="2s"), static_job("other", addresses[3:])])
    shards = start_shards(world, 2)
    write_shards(world, [(s.name, s.url) for s in shards])
    c = Coordinator(world, "--shard.max-series=1000").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(4))
    wait_for("the shards to have scraped them", 60, lambda: sum(s.info()["processSeries"] for s in shards) == 4 * SERIES)
    assert c.get("/api/v1/samples")["app"]["metricsTotal"] == {}

    def detail(url, query=""):
        return json.loads(http(f"{url}samples?with_metrics_detail=true{query}", timeout=90)[1])["data"]

    got = detail(c.url + "/api/v1/")
    for job, figure in (("app", 3 * SERIES / 2), ("other", SERIES)):
        assert got[job]["total"] == got[job]["scrapedTotal"] == figure
        families = got[job]["metricsTotal"]
        assert families and abs(sum(f["total"] for f in families.values()) - figure) < 1e-6 * figure, families
        assert abs(sum(f["scraped"] for f in families.values()) - figure) < 1e-6 * figure
    names = set(detail(shards[0].url + "/api/v1/shard/")["app"]["metricsTotal"])
    assert names == set(got["app"]["metricsTotal"])
    assert set(detail(c.url + "/api/v1/", "&job=oth")) == {"other"}
    # one that is away costs no answer
    shards[1].kill()
    assert set(detail(c.url + "/api/v1/", "&job=a")["app"]["metricsTotal"]) == names
