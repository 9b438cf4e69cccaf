"""--shard.max-memory: the limit of series that is learnt from what a series takes in a shard's Prometheus."""
import datetime
import os

import pytest
from coordinator_harness import Coordinator, Shard, write_shards
from fake_sidecar import FakeSidecar
from harness import all_up, http, scalar, static_job, wait_for

MIB = 1 << 20
BASE = 64 * MIB


def at(seconds_ago):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def memory(each, series, seconds_ago=3600):
    return {"residentBytes": BASE + each * series, "residentSeries": series, "processStartAt": at(seconds_ago)}


@pytest.fixture
def fakes(world):
    made = [FakeSidecar(kind="kvass", series=10000) for _ in range(2)]
    for f in made:
        world.started.append(f.stop)
    return made


def test_limits_follow_memory(world, fakes):
    """Each shard its own; what is too young or too small says nothing; small changes change nothing; growth counts."""
    _, addresses = world.exporter("--series=10000", listeners=2)
    world.configure([static_job("app", addresses)])
    write_shards(world, [(f"s-{i}", f.url) for i, f in enumerate(fakes)])
    fakes[0].memory = memory(4000, 20000)
    fakes[1].memory = memory(4000, 20000, seconds_ago=5)
    c = Coordinator(world, f"--shard.max-memory={BASE + 400 * 1000 * 1000}B", "--shard.memory-learn-after=1h").wait_ready()
    fakes[0].memory = memory(4000, 20000, seconds_ago=7200)

    def limits():
        return [c.shards()[f"s-{i}"]["limitSeries"] for i in range(2)]

    wait_for("a limit that is learnt, and the fleet's for who says nothing", 60, lambda: limits() == [100000, 100000])
    assert [c.shards()[f"s-{i}"]["bytesPerSeries"] for i in range(2)] == [4000, 0]
    assert all(c.shards()[f"s-{i}"]["limitedByMemory"] for i in range(2))
    assert any("comes from memory" in line and "4000 bytes for each" in line for line in c.why()["why"]), c.why()
    fakes[0].memory = memory(4200, 20000, seconds_ago=7200)
    wait_for("the new figure", 60, lambda: c.shards()["s-0"]["bytesPerSeries"] > 4050)
    assert limits()[0] == 100000
    fakes[0].memory = memory(8000, 20000, seconds_ago=7200)
    wait_for("less room", 120, lambda: limits()[0] < 80000)
    wait_for("the metrics", 30, lambda: c.metric('kvass_balancer_shard_bytes_per_series{shard="s-0",replica=""}') > 4400)
    assert c.metric('kvass_balancer_shard_resident_bytes{shard="s-0",replica=""}') == BASE + 8000 * 20000


def test_never_above_what_is_configured(world, fakes):
    _, addresses = world.exporter("--series=10000", listeners=2)
    world.configure([static_job("app", addresses)])
    write_shards(world, [{"id": "s-0", "url": fakes[0].url, "capacity": 70000}, {"id": "s-1", "url": fakes[1].url}])
    for f in fakes:
        f.memory = memory(4000, 20000)
    c = Coordinator(world, f"--shard.max-memory={BASE + 400 * 1000 * 1000}B", "--shard.max-head-series=90000").wait_ready()
    wait_for("both bounds", 60, lambda: [c.shards()[f"s-{i}"]["limitSeries"] for i in range(2)] == [70000, 90000])
    wait_for("what was learnt", 60, lambda: c.shards()["s-0"]["bytesPerSeries"] == 4000)
    assert not c.shards()["s-0"]["limitedByMemory"]


def test_a_real_prometheus(world):
    """Its own words and ours agree; the limit is what fits."""
    _, addresses = world.exporter("--series=10000", listeners=2)
    world.configure([static_job("app", addresses)])
    room = 2000 * MIB
    kvass = world.appliance(f"--shard.max-memory={room}B", "--shard.memory-learn-after=1s", "--shard.max-shard=1").wait_ready()
    wait_for("both up", 90, lambda: all_up(kvass, 2))
    shard = wait_for("what is learnt", 120, lambda: (lambda s: s["bytesPerSeries"] > 0 and s)(kvass.shards()[0]))
    assert shard["residentBytes"] > BASE and shard["limitedByMemory"]
    text = http(shard["prometheusUrl"] + "/metrics")[1]
    own = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("process_resident_memory_bytes "))
    assert own / 3 < shard["residentBytes"] < own * 3  # at two moments
    each = shard["bytesPerSeries"]
    assert 1000 <= each <= 65536
    fit = (room - BASE) / each
    assert 0.85 * fit < shard["limitSeries"] < 1.15 * fit


def test_a_sidecar_tells_it(world):
    shard = Shard(world, "shard-0").start()
    told = wait_for("its memory", 60, lambda: shard.info() if "residentBytes" in shard.info() else None)
    assert told["residentBytes"] > 10 * MIB and "residentSeries" in told
    started = datetime.datetime.fromisoformat(told["processStartAt"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()) < 600
    assert scalar(shard.prometheus_url, "vector(1)") == 1 and os.path.exists(shard.config)
