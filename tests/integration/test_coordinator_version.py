"""Whose rules the coordinator follows: its shards say what they are, the lowest counts, and a change is a reload that leaves alone
what the rules do not touch. The oracle is what a Prometheus of that version makes of the same file."""
import os

import pytest
import versions
from coordinator_harness import Coordinator, Shard, write_shards
from harness import Prometheus, get_data, http, static_job, wait_for

OLD = next((v for v in versions.VERSIONS if v.major == 2), None)
NEW = next((v for v in versions.VERSIONS if v.major == 3), None)
RULES = {"2.42": "2.42", "2.53": "2.53", "3.5": "3.5"}
both = pytest.mark.skipif(OLD is None or NEW is None, reason="needs a Prometheus 2 and a Prometheus 3 (scripts/fetch-prometheus)")


def jobs(addresses):
    """`plain` is the same in all versions. In `apart` a port is added, or is not; the job's parameter wins, or the target's does; and a
    pattern matches across a line break, or does not."""
    apart = {"job_name": "apart", "params": {"x": ["job"]},
             "static_configs": [{"targets": ["127.0.0.7"]}, {"targets": [addresses[0]], "labels": {"__param_x": "target", "text": "a\nb"}}],
             "relabel_configs": [{"source_labels": ["text"], "regex": "a.b", "target_label": "matched", "replacement": "yes"}]}
    return [static_job("plain", addresses), apart]


def made_by(url):
    """{(job, URL, labels)} of the active targets."""
    found = get_data(url + "/api/v1/targets?state=active")["activeTargets"]
    return {(t["scrapePool"], t["scrapeUrl"], tuple(sorted(t["labels"].items()))) for t in found}


def start(world, binaries, *options):
    shards = [Shard(world, f"shard-{i}", binary=b).start() for i, b in enumerate(binaries)]
    write_shards(world, [(s.name, s.url) for s in shards])
    return shards, Coordinator(world, "--shard.max-series=100000", *options)


def rules(coordinator):
    return coordinator.get("/api/v1/shards")["rules"]


def real_targets(world, version):
    p = world.keep(Prometheus(os.path.join(world.directory, "real-" + version.name), os.path.join(world.directory, "prometheus.yml"),
                              binary=version.prometheus)).wait_ready()
    return wait_for("the targets of a real server", 30, lambda: made_by(p.url))


def test_the_rules_of_the_shards(world, version):
    _, addresses = world.exporter("--series=10", listeners=3)
    world.configure(jobs(addresses))
    _, c = start(world, [version.prometheus])
    c.wait_ready()
    assert rules(c) == RULES[version.name]
    assert c.shards()["shard-0"]["prometheusVersion"] == version.full
    wanted = real_targets(world, version)
    wait_for("the targets of a real server of this version", 60, lambda: made_by(c.url) == wanted)


@both
def test_upgrade_shard_by_shard(world):
    """The old rules stay until the last shard is new; then targets they touch change, the others keep shard and identity."""
    _, addresses = world.exporter("--series=10", listeners=4)
    world.configure(jobs(addresses))
    shards, c = start(world, [OLD.prometheus] * 2, f"--store.path={world.directory}/coordinator")
    c.wait_ready()
    old, new = real_targets(world, OLD), real_targets(world, NEW)
    assert old != new
    wait_for("the old rules' targets", 60, lambda: made_by(c.url) == old)
    wait_for("owners of the plain ones", 60, lambda: all(t["state"] == "assigned" for t in c.targets("plain")))
    before = {t["scrapeUrl"]: t["shards"] for t in c.targets("plain")}

    shards[0].upgrade(NEW.prometheus)
    wait_for("the new version to be seen", 120, lambda: c.shards()["shard-0"]["prometheusVersion"] == NEW.full)
    mixed = wait_for("the mixture to be told", 60, lambda: c.get("/api/v1/shards")["mixedVersions"])
    assert OLD.full in mixed and NEW.full in mixed, mixed
    assert any("different versions" in line for line in c.why()["why"]), c.why()
    wait_for("the metric", 30, lambda: c.metric("kvass_balancer_mixed_versions") == 1)
    assert rules(c) == RULES[OLD.name] and made_by(c.url) == old

    shards[1].upgrade(NEW.prometheus)
    wait_for("the new rules", 120, lambda: rules(c) == RULES[NEW.name])
    wait_for("the new rules' targets", 60, lambda: made_by(c.url) == new)
    wait_for("no mixture", 30, lambda: c.metric("kvass_balancer_mixed_versions") == 0)
    wait_for("all of them placed", 60, lambda: all(t["state"] == "assigned" for t in c.targets()))
    assert {t["scrapeUrl"]: t["shards"] for t in c.targets("plain")} == before

    # with a store a restart begins with them, whether or not a shard is there to say so
    c.stop()
    for s in shards:
        s.kill()
    again = Coordinator(world, "--shard.max-series=100000", f"--store.path={world.directory}/coordinator", name="again")
    wait_for("the API", 30, lambda: http(again.url + "/-/healthy")[0] == 200)
    assert rules(again) == RULES[NEW.name]


@both
def test_a_file_the_older_rules_refuse(world):
    """It runs while all shards are new; when one falls back the running configuration stays, and that is said."""
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("app", addresses, relabel_configs=[{"target_label": "with.dot", "replacement": "x"}])])
    shards, c = start(world, [NEW.prometheus])
    c.wait_ready()
    assert rules(c) == RULES[NEW.name]
    wait_for("the label", 60, lambda: [t["labels"].get("with.dot") for t in c.targets()] == ["x"])
    shards[0].upgrade(OLD.prometheus)
    wait_for("the refusal", 120, lambda: c.metric("kvass_configgen_reload_successful") == 0)
    assert rules(c) == RULES[NEW.name]
    assert [t["labels"].get("with.dot") for t in c.targets()] == ["x"]
    # a file they take, too, ends it
    world.configure([static_job("app", addresses, relabel_configs=[{"target_label": "plain", "replacement": "x"}])])
    wait_for("the older rules", 60, lambda: rules(c) == RULES[OLD.name])
    wait_for("the label", 60, lambda: [t["labels"].get("plain") for t in c.targets()] == ["x"])


def test_nothing_is_placed_before_a_shard_has_said_it(world, version):
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("app", addresses)])
    shard = Shard(world, "shard-0", binary=version.prometheus)
    shard.start_sidecar()
    write_shards(world, [(shard.name, shard.url)])
    c = Coordinator(world, "--sd.init-timeout=1h", "--shard.max-series=1000")
    blocked = wait_for("what it waits for", 60, lambda: (lambda b: "version" in b and b)(c.get("/api/v1/shards")["blocked"]))
    assert "no shard has told the version of its Prometheus" in blocked
    assert c.role() == "waiting" and shard.holds() == {}
    shard.start_prometheus()
    c.wait_ready(120)
    assert rules(c) == RULES[version.name]
    wait_for("the target", 60, lambda: c.all_up(1))


def test_a_silent_prometheus_holds_nothing_up_for_ever(world):
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("app", addresses)])
    shard = Shard(world, "shard-0")
    shard.start_sidecar()
    write_shards(world, [(shard.name, shard.url)])
    c = Coordinator(world, "--sd.init-timeout=2s", "--shard.max-series=1000").wait_ready()
    assert rules(c) == "2.42" and c.role() == "acting"


def test_a_fixed_version_is_not_asked_for(world):
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("app", addresses)])
    _, c = start(world, ["prometheus" if OLD is None else OLD.prometheus], "--prometheus.version=3.8")
    c.wait_ready()
    assert rules(c) == "3.8" and c.shards()["shard-0"]["prometheusVersion"] == ""
