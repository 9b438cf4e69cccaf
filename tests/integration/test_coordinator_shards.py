"""The coordinator over scripted sidecars: Go ones, replicas and zones, and shards that answer badly. Nothing is scraped for real;
probes go to an exporter."""
import os
import re
import sys
import threading

import pytest
from coordinator_harness import Coordinator, write_shards
from fake_sidecar import FakeSidecar
from harness import SOURCE, static_job, wait_for, write

sys.path.insert(0, os.path.join(SOURCE, "tests", "tools"))
from shard_service import Service, serve  # noqa: E402


@pytest.fixture
def sidecars(world):
    def make(count, **more):
        made = [FakeSidecar(**more) for _ in range(count)]
        world.started.extend(s.stop for s in made)
        return made

    return make


def addresses_of(shard, job="app"):
    return sorted(t["labels"]["__address__"] for t in shard.targets.get(job, []))


def arrange(world, count, shards, series=100, **job):
    _, addresses = world.exporter(f"--series={series}", listeners=count)
    world.configure([static_job("app", addresses, **job)])
    write_shards(world, [(f"s-{i}", s.url) for i, s in enumerate(shards)])
    return sorted(addresses)


def all_of(shards):
    return sorted(sum((addresses_of(s) for s in shards), []))


# ------------------------------------------------------------------------------------------------------------- Go sidecars


def test_go_sidecars_are_driven(world, sidecars):
    """Their ConfigHash is a word of their own that is learnt after a push; hashes are full 64-bit numbers."""
    shards = sidecars(3)
    addresses = arrange(world, 9, shards)
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(9))
    assert all_of(shards) == addresses
    assert all(s.config == open(os.path.join(world.directory, "prometheus.yml")).read() for s in shards)
    assert any(h > 2 ** 63 for s in shards for h in s.hashes())
    wait_for("rest", 30, lambda: all(x["error"] == "" for x in c.shards().values()))
    pushes = [list(s.pushes) for s in shards]
    rounds = c.get("/api/v1/shards")["rounds"]
    wait_for("ten rounds", 30, lambda: c.get("/api/v1/shards")["rounds"] > rounds + 10)
    assert [s.pushes for s in shards] == pushes  # a settled system posts nothing
    # somebody replaced its configuration: the word changes, ours is pushed again
    shards[0].config_hash = "999"
    wait_for("our configuration again", 30, lambda: len([p for p in shards[0].pushes if p[0] == "config"]) == 2)


def test_go_sidecars_are_not_sent_the_same_configuration_again(world, sidecars):
    """With a store the word for it is kept over a restart; one that has another configuration by then gets ours."""
    def read_since_the_push(s):
        asked = s.requests[s.requests.index(("POST", "/api/v1/status/config/")):]
        return asked.count(("GET", "/api/v1/shard/runtimeinfo/")) >= 2  # the first of them was answered

    def configurations():
        return [len([p for p in s.pushes if p[0] == "config"]) for s in shards]

    shards = sidecars(3)
    arrange(world, 9, shards)
    store = f"--store.path={world.directory}/store"
    c = Coordinator(world, store).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(9))
    wait_for("their words to be read", 60, lambda: all(read_since_the_push(s) for s in shards))
    c.stop()
    shards[2].config_hash = "999"
    again = Coordinator(world, store, name="again").wait_ready()
    wait_for("all targets up again", 60, lambda: again.all_up(9))
    wait_for("our configuration where another one was", 60, lambda: configurations()[2] == 2)
    rounds = again.get("/api/v1/shards")["rounds"]
    wait_for("ten rounds", 30, lambda: again.get("/api/v1/shards")["rounds"] > rounds + 10)
    assert configurations() == [1, 1, 2]


def test_go_sidecars_survive_a_restart_of_the_coordinator(world, sidecars):
    shards = sidecars(3)
    arrange(world, 9, shards)
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(9))
    before = [addresses_of(s) for s in shards]
    c.stop()
    pushes = [[p for p in s.pushes if p[0] == "targets"] for s in shards]
    again = Coordinator(world, name="again").wait_ready()
    wait_for("all targets up again", 60, lambda: again.all_up(9))
    rounds = again.get("/api/v1/shards")["rounds"]
    wait_for("ten rounds", 30, lambda: again.get("/api/v1/shards")["rounds"] > rounds + 10)
    assert [addresses_of(s) for s in shards] == before
    assert [[p for p in s.pushes if p[0] == "targets"] for s in shards] == pushes  # not even the same again
    assert "op=assign" not in again.output()


def test_go_sidecar_with_a_file_of_its_own(world, sidecars):
    """It refuses the push: what it runs is accepted, targets go there all the same."""
    shards = sidecars(2, file_mode=True, config_hash="4711")
    addresses = arrange(world, 4, shards)
    c = Coordinator(world).wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(4))
    assert all_of(shards) == addresses and all(s.config == "" for s in shards)


def test_moves_between_go_sidecars_end_on_proof(world, sidecars):
    shards = sidecars(2, series=400)
    arrange(world, 4, shards, series=400)
    c = Coordinator(world, "--shard.max-series=3000", "--balance.even-out=0", "--move.cool-down=0s").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(4))
    shards[0].series = 1300
    wait_for("a move", 60, lambda: [m for m in c.get("/api/v1/moves") if m["state"] == "finished"])
    first = c.get("/api/v1/moves")[-1]
    moved = first["hash"]
    assert first["from"] == "s-0" and first["to"] == "s-1"
    assert moved in shards[1].hashes() and shards[1].scrapes[moved] >= 3


# ----------------------------------------------------------------------------------------------------- replicas and zones


def test_independent_replicas(world, sidecars):
    """Every replica carries all targets, spread by its own loads."""
    a, b = sidecars(2, kind="kvass"), sidecars(3, kind="kvass")
    _, addresses = world.exporter("--series=100", listeners=6)
    world.configure([static_job("app", addresses)])
    write_shards(world, [(f"a-{i}", s.url) for i, s in enumerate(a)], [(f"b-{i}", s.url) for i, s in enumerate(b)])
    c = Coordinator(world, "--replica.mode=independent").wait_ready()
    wait_for("all targets in both", 60, lambda: all_of(a) == sorted(addresses) and all_of(b) == sorted(addresses))
    wait_for("all up", 60, lambda: c.all_up(6, owners=2))
    assert [len(s.hashes()) for s in a] == [3, 3] and [len(s.hashes()) for s in b] == [2, 2, 2]
    ledger = c.get("/api/v1/ledger")
    assert ledger["assigned"] == ledger["discovered"] == 6
    b[1].stop()
    wait_for("fail-over within the replica", 60, lambda: all_of([b[0], b[2]]) == sorted(addresses))
    assert [len(s.hashes()) for s in a] == [3, 3]


def test_jobs_with_copies_and_on_every_shard(world, sidecars):
    shards = sidecars(3, kind="kvass")
    _, one = world.exporter("--series=10", listeners=3)
    _, two = world.exporter("--series=10", listeners=2)
    _, every = world.exporter("--series=10", listeners=1)
    world.configure([static_job("one", one), static_job("two", two), static_job("self=watch", every)])
    write_shards(world, [(f"s-{i}", s.url) for i, s in enumerate(shards)])
    c = Coordinator(world, "--replica.jobs=two=2 self=watch=every").wait_ready()

    def count(job):
        return sorted(len([1 for s in shards if a in addresses_of(s, job)]) for a in {"one": one, "two": two, "self=watch": every}[job])

    wait_for("the copies", 60, lambda: (count("one"), count("two"), count("self=watch")) == ([1, 1, 1], [2, 2], [3]))
    rounds = c.get("/api/v1/shards")["rounds"]
    wait_for("eight rounds", 30, lambda: c.get("/api/v1/shards")["rounds"] > rounds + 8)
    assert (count("one"), count("two"), count("self=watch")) == ([1, 1, 1], [2, 2], [3])


def test_bad_job_words_are_refused(world, sidecars):
    arrange(world, 1, sidecars(1))
    for words in ("two", "two=0", "two=many", "=2", "two=2 two=3"):
        c = Coordinator(world, f"--replica.jobs={words}")
        assert c.child.wait(20) == 1, words
        assert "replica.jobs" in c.output()


def test_zones_are_preferred(world, sidecars):
    shards = sidecars(4, kind="kvass")
    _, addresses = world.exporter("--series=100", listeners=8)
    groups = [{"targets": addresses[:4], "labels": {"rack": "left"}}, {"targets": addresses[4:], "labels": {"rack": "right"}}]
    world.configure([{"job_name": "app", "static_configs": groups}])
    write_shards(world, [{"id": f"s-{i}", "url": s.url, "zone": "left" if i < 2 else "right"} for i, s in enumerate(shards)])
    c = Coordinator(world, "--balance.zone-label=rack", "--shard.max-series=2000").wait_ready()
    wait_for("all up", 60, lambda: c.all_up(8))
    assert all_of(shards[:2]) == sorted(addresses[:4]) and all_of(shards[2:]) == sorted(addresses[4:])


# -------------------------------------------------------------------------------------------------------------- bad shards


@pytest.mark.parametrize("fault, word", [("garbage", "JSON"), ("wrong-type", "headSeries"), (401, "401"), (500, "500"),
                                         ("huge", "larger than"), ("slow", "timed out|timeout|Timeout")])
def test_a_bad_shard_costs_itself_only(world, sidecars, fault, word):
    shards = sidecars(3, kind="kvass")
    shards[1].fault = fault
    addresses = arrange(world, 6, shards)
    c = Coordinator(world, "--shard.failover-grace=6s")
    wait_for("the good shards to have everything", 60, lambda: all_of([shards[0], shards[2]]) == addresses)
    wait_for("its fault told", 60, lambda: re.search(word, c.shards()["s-1"]["error"]))  # not a timeout of a busy machine
    shard = c.shards()["s-1"]
    assert shard["health"] != "ready" and shards[1].hashes() == set()
    assert c.running()
    why = " ".join(c.why()["why"])
    assert "3 shards are wanted" in why
    shards[1].fault = None
    wait_for("it to be taken in", 60, lambda: c.shards()["s-1"]["health"] == "ready")
    assert c.shards()["s-1"]["error"] == ""


def test_a_shard_that_hangs_later_keeps_its_targets_for_the_grace(world, sidecars):
    shards = sidecars(2, kind="kvass")
    addresses = arrange(world, 4, shards)
    c = Coordinator(world, "--shard.failover-grace=300s").wait_ready()
    wait_for("all up", 60, lambda: c.all_up(4))
    before = [addresses_of(s) for s in shards]
    shards[0].fault = "slow"
    wait_for("it to be unreachable", 60, lambda: c.shards()["s-0"]["health"] == "unreachable")

    def states(addresses):
        return {t["state"] for t in c.targets() if t["scrapeUrl"].split("/")[2] in addresses}

    wait_for("the ledger to say so", 30, lambda: states(before[0]) == {"unreachable"})
    assert states(before[1]) == {"assigned"}
    assert [addresses_of(s) for s in shards] == before
    line = " ".join(c.why(url=f"http://{before[0][0]}/metrics")["targets"][0]["why"])
    assert "grace period" in line and "s-0 is unreachable" in line
    assert all_of(shards) == addresses


def test_what_a_shard_forgot_is_pushed_again(world, sidecars):
    """Its disk was lost: the generation is smaller than what was acknowledged, and targets are missing."""
    shards = sidecars(2, kind="kvass")
    addresses = arrange(world, 4, shards)
    c = Coordinator(world).wait_ready()
    wait_for("all up", 60, lambda: c.all_up(4))
    wait_for("what it holds to be known", 60, lambda: c.shards()["s-0"]["generation"] == shards[0].generation > 0)
    shards[0].targets, shards[0].generation, shards[0].config_hash = {}, 0, ""
    wait_for("its targets again", 60, lambda: all_of(shards) == addresses)
    wait_for("its configuration again", 60, lambda: len([p for p in shards[0].pushes if p[0] == "config"]) == 2)


def test_credentials_of_our_calls(world, sidecars):
    shards = sidecars(1, kind="kvass")
    arrange(world, 1, shards)
    token = os.path.join(world.directory, "token")
    write(token, "open-sesame\n")
    write(os.path.join(world.directory, "client.yml"), "authorization:\n  credentials_file: token\n")
    c = Coordinator(world, f"--shard.http-config-file={world.directory}/client.yml").wait_ready()
    wait_for("all up", 60, lambda: c.all_up(1))
    assert {h.get("Authorization") for h in shards[0].headers} == {"Bearer open-sesame"}
    epochs = {h.get("X-Kvass-Epoch") for h, (method, _) in zip(shards[0].headers, shards[0].requests) if method == "POST"}
    assert epochs == {"1"}
    write(os.path.join(world.directory, "client.yml"), "authorisation: {}\n")
    bad = Coordinator(world, f"--shard.http-config-file={world.directory}/client.yml", name="bad")
    assert bad.child.wait(20) == 1 and "client.yml:1:1: unknown key 'authorisation'" in bad.output()


def test_dry_run_touches_nothing(world, sidecars):
    shards = sidecars(2, kind="kvass")
    arrange(world, 4, shards)
    c = Coordinator(world, "--dry-run").wait_ready()
    wait_for("three rounds", 30, lambda: c.get("/api/v1/shards")["rounds"] > 6)
    assert [s.pushes for s in shards] == [[], []]
    assert c.get("/api/v1/shards")["role"] == "acting"


# ------------------------------------------------------------------------------------------------------- the shard service


@pytest.fixture
def service(world):
    made = []

    def make(urls):
        s = Service(urls)
        s.server = serve(s)
        s.url = f"http://127.0.0.1:{s.server.server_address[1]}/shards"
        thread = threading.Thread(target=s.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        made.append((s, thread))
        return s

    yield make
    for s, _ in made:
        s.server.shutdown()
        s.server.server_close()


def test_a_shard_service_is_asked_for_what_the_load_needs(world, sidecars, service):
    shards = sidecars(4, kind="kvass", series=1000)
    _, addresses = world.exporter("--series=1000", listeners=5)
    world.configure([static_job("app", addresses)])
    s = service([x.url for x in shards])
    c = Coordinator(world, f"--shard.http-url={s.url}", "--shard.max-series=3000", shard_type="http").wait_ready()
    wait_for("all targets up", 60, lambda: c.all_up(5))
    assert s.wanted == 3 and all_of(shards[:3]) == sorted(addresses)
    assert len(s.puts) == 1 and "series need" in s.puts[0][1]
    assert "series need" in c.why()["why"][0]
    # a nonsense answer changes nothing
    s.listing, good = lambda: {"shards": [{"id": "a"}]}, s.listing
    wait_for("the failure to be counted", 30, lambda: c.metric("kvass_shard_service_failures_total") >= 2)
    assert c.all_up(5) and sorted(c.shards()) == ["svc-0", "svc-1", "svc-2"]
    s.listing = good


def test_a_shard_service_that_refuses(world, sidecars, service):
    shards = sidecars(1, kind="kvass", series=1000)
    _, addresses = world.exporter("--series=1000", listeners=4)
    world.configure([static_job("app", addresses)])
    s = service([x.url for x in shards])
    c = Coordinator(world, f"--shard.http-url={s.url}", "--shard.max-series=3000", shard_type="http").wait_ready()
    wait_for("what fits", 60, lambda: len(shards[0].hashes()) == 2)
    wait_for("refusals", 30, lambda: c.metric("kvass_shard_service_failures_total") >= 1)

    def ledger():
        found = c.get("/api/v1/ledger")
        return found["assigned"], found["pending"]

    wait_for("the ledger to say so", 30, lambda: ledger() == (2, 2))
    waiting = [t for t in c.targets() if t["state"] == "pending"][0]
    assert "no shard has room" in " ".join(c.why(job="app", hash=waiting["hash"])["targets"][0]["why"])
