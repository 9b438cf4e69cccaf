"""kvass sidecar beside a real Prometheus, driven by plain HTTP as kvass-compat and a coordinator do: push mode and file mode, restarts of
each in any order, fencing, the old store."""
import json
import os
import shutil
import signal

import pytest
from harness import get_data, http, query, scalar, wait_for, write
from sidecar_harness import Beside, post, target

BIG = 2**64 - 1  # half of all hashes are beyond a signed integer
SECRET = "correct horse battery staple"


def config(jobs=("a",), **more):
    return json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                       "scrape_configs": [{"job_name": name, **more} for name in jobs]})


def start_pushed(world, series=300, listeners=2, options=(), **more):
    exporter, addresses = world.exporter(f"--series={series}", listeners=listeners)
    pair = Beside(world, ["--config.file=", *options], **more).start_kvass().start_prometheus()
    return exporter, addresses, pair


# ------------------------------------------------------------------------------------------------ push mode


def test_push_mode_scrapes_and_counts_as_prometheus_does(world):
    exporter, addresses, pair = start_pushed(world)
    assert http(pair.url + "/-/ready")[0] == 503  # no configuration yet
    assert pair.info()["configGeneration"] == 0 and "IdleStartAt" in pair.info()
    drop = [{"source_labels": ["series"], "regex": ".*[05]", "action": "drop"}, {"regex": "no_such", "action": "labeldrop"}]
    assert pair.push_config(config(metric_relabel_configs=drop), generation=7) == (200, {"status": "success"})
    assert http(pair.url + "/-/ready")[0] == 200
    body = {"a": [target(addresses[0], BIG), target(addresses[1], 2)]}
    assert pair.push_targets(body, generation=11) == (200, {"status": "success"})
    pair.wait_acknowledged(generation=11, config_generation=7)
    wait_for("both up", 30, lambda: pair.all_up(2))
    assert set(pair.statuses()) == {str(BIG), "2"}
    wait_for("Prometheus' own figures", 30, lambda: len(pair.values("scrape_samples_scraped")) == 2)
    scraped, kept = pair.values("scrape_samples_scraped"), pair.values("scrape_samples_post_metric_relabeling")
    for address, hash in zip(addresses, (str(BIG), "2")):
        status = pair.statuses()[hash]
        assert status["totalSeries"] == scraped[address] == 300
        assert status["series"] == kept[address]
        assert status["ScrapeTimes"] >= status["goodScrapes"] >= 1
    info = pair.info()
    assert info["processSeries"] == 600 and info["health"] == "ready" and "IdleStartAt" not in info and "error" not in info
    wait_for("the head", 30, lambda: pair.info()["headSeries"] >= 600)
    samples = get_data(pair.url + "/api/v1/shard/samples/?job=a")
    assert samples["a"]["scrapedTotal"] == 600 and samples["a"]["total"] == sum(kept.values())
    assert get_data(pair.url + "/api/v1/shard/samples?job=nothing") == {}
    # both forms of each path, and the whole assignment for a coordinator that starts
    for path in ("/api/v1/shard/targets/", "/api/v1/shard/targets", "/api/v1/shard/targets/status"):
        assert set(get_data(pair.url + path)) == {str(BIG), "2"}
    full = get_data(pair.url + "/api/v1/shard/targets/?full=true")["Targets"]
    assert [t["hash"] for t in full["a"]] == [2, BIG] and full["a"][0]["labels"]["__address__"] == addresses[1]
    # another assignment travels in the target file: no reload
    reloads = pair.metric('kvass_shard_reloads_total{result="success"}')
    assert pair.push_targets({"a": body["a"][:1]}, generation=12)[0] == 200
    pair.wait_acknowledged(generation=12)
    assert pair.statuses()["2"]["TargetState"] == "leaving"  # served until Prometheus has let go of it
    assert pair.metric('kvass_shard_reloads_total{result="success"}') == reloads
    assert pair.push_targets({}, generation=13)[0] == 200
    wait_for("idle", 10, lambda: "IdleStartAt" in pair.info())


def test_the_static_form_reloads(world):
    exporter, addresses, pair = start_pushed(world, options=["--inject.targets=static"])
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(a, i) for i, a in enumerate(addresses)]}, generation=2)[0] == 200
    pair.wait_acknowledged(generation=2)
    wait_for("both up", 30, lambda: pair.all_up(2))
    with open(pair.output) as f:
        text = f.read()
    assert "static_configs" in text and "file_sd_configs" not in text
    assert os.stat(pair.output).st_mode & 0o777 == 0o640


def test_more_jobs_than_prometheus_can_watch_are_told(world):
    """It discovers none of the jobs for which the kernel gives it no inotify instance (2.42 to 3.5)."""
    with open("/proc/sys/fs/inotify/max_user_instances", encoding="ascii") as f:
        limit = int(f.read())
    jobs = "".join(f"- job_name: j{i}\n" for i in range(limit + 1))
    for form in ("file", "static"):  # which needs none, so that nothing is added to the log
        pair = Beside(world, ["--config.file=", f"--inject.targets={form}", "--prometheus.url=http://127.0.0.1:1"]).start_kvass()
        assert pair.push_config("scrape_configs:\n" + jobs)[0] == 200
        assert pair.push_targets({"j0": [target("127.0.0.1:1", 1)]}, generation=1)[0] == 200
        wait_for("the file", 30, lambda: os.path.exists(pair.output))
        lines = [x for x in pair.kvass.output().splitlines() if 'op="too few inotify instances"' in x]
        assert len(lines) == 1 and f"limit={limit}" in lines[0] and "level=warn" in lines[0], lines
        pair.stop()
        for folder in (pair.store, os.path.dirname(pair.output)):
            shutil.rmtree(folder)


def test_the_jobs_settings_are_the_proxys_alone(world):
    """Parameters, credentials and intervals come from the job; a change of them reaches targets that stay."""
    exporter, [address] = world.exporter("--series=10", f"--authorization=Bearer {SECRET}")
    pair = Beside(world, ["--config.file="]).start_kvass().start_prometheus()
    assert pair.push_targets({"a": [target(address, 5, __param_series="20")]}, generation=1)[0] == 200  # before its job is known
    job = {"params": {"series": ["20", "30"], "seed": ["4"]}, "authorization": {"credentials": SECRET}}
    assert pair.push_config(config(**job), generation=1)[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    wait_for("its size", 30, lambda: pair.statuses()["5"]["series"] in (20, 30))
    assert pair.push_config(config(authorization={"credentials": "wrong"}), generation=2)[0] == 200
    wait_for("401", 30, lambda: "401" in pair.statuses()["5"]["lastError"])
    assert pair.push_config(config(**job), generation=3)[0] == 200
    wait_for("up again", 30, lambda: pair.all_up(1))
    # nobody is told the secret
    seen = http(pair.url + "/api/v1/status/config/")[1] + http(pair.url + "/metrics")[1] + pair.kvass.output()
    assert SECRET not in seen and "<secret>" in seen and "wrong" not in http(pair.url + "/api/v1/status/config")[1]
    with open(pair.output) as f:
        assert SECRET not in f.read()  # nor Prometheus
    for name in os.listdir(pair.store):
        assert os.stat(os.path.join(pair.store, name)).st_mode & 0o007 == 0


def test_a_bad_configuration_changes_nothing(world):
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config(), generation=1)[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    with open(pair.output) as f:
        before = f.read()
    for text in ("scrape_configs: [{job_name: a, scrape_interval: never}]", "{", "a: b: c", "scrape_configs: [{}]", "\0"):
        status, answer = pair.push_config(text, generation=9)
        assert status == 400 and answer["errorType"] == "bad_data" and answer["status"] == "error", text
    assert ":1:" in pair.push_config("scrape_configs: [{job_name: a, scrape_interval: never}]", generation=9)[1]["error"]
    info = pair.info()
    assert info["configGeneration"] == 1 and "configuration:" in info["error"]
    with open(pair.output) as f:
        assert f.read() == before
    assert pair.all_up(1)
    assert pair.push_config(config(), generation=2)[0] == 200
    wait_for("no error", 10, lambda: "error" not in pair.info())


# ------------------------------------------------------------------------------------------------ fencing


def test_an_older_epoch_is_refused_also_after_a_restart(world):
    exporter, addresses, pair = start_pushed(world)
    one, two = {"a": [target(addresses[0], 1)]}, {"a": [target(addresses[1], 2)]}
    assert pair.push_config(config(), epoch=5)[0] == 200
    assert pair.push_targets(one, generation=4, epoch=2**32 + 5)[0] == 200
    pair.wait_acknowledged(generation=4)
    assert pair.info()["epoch"] == 2**32 + 5

    def refused():
        for answer in (pair.push_targets(two, generation=9, epoch=5), pair.push_config(config(["b"]), epoch=7),
                       pair.push_targets(two, epoch=2**64 - 1, headers={"X-Kvass-Epoch": "6"}),  # the header wins
                       pair.push_config(config(["b"]), headers={"X-Kvass-Epoch": str(2**32 + 4)})):
            assert answer[0] == 409 and answer[1]["errorType"] == "conflict", answer
        assert set(pair.statuses()) == {"1"} and pair.info()["generation"] == 4

    refused()
    pair.kvass.kill()
    pair.kvass.stop()
    pair.start_kvass()
    wait_for("acknowledged again", 30, lambda: pair.info()["generation"] == 4)
    refused()
    for headers in ({"X-Kvass-Epoch": "-1"}, {"X-Kvass-Epoch": "x"}, {"X-Kvass-Epoch": "18446744073709551616"}, {"X-Kvass-Epoch": ""}):
        assert pair.push_targets(two, headers=headers)[0] in (400,), headers
    assert pair.push_targets(two, epoch=2**63)[0] == 400  # nobody may use the numbers up
    assert pair.push_targets(two, epoch="7")[0] == 409  # a decimal string is a number, too
    for epoch in (-1, 1.5, [], {}, "x", True):
        assert pair.push_targets(two, epoch=epoch)[0] == 400, epoch
    # the same epoch and a larger one may write; a caller that knows of none is believed (Kvass 0.3)
    assert pair.push_targets(two, generation=5, epoch=2**32 + 5)[0] == 200
    assert pair.push_targets(one, generation=6, headers={"X-Kvass-Epoch": str(2**32 + 9)})[0] == 200
    assert post(pair.url + "/api/v1/shard/targets/", {"Targets": two})[0] == 200
    assert pair.info()["epoch"] == 2**32 + 9
    wait_for("what the script gave", 30, lambda: pair.statuses()["2"]["health"] == "up")


# ------------------------------------------------------------------------------------------------ restarts


def test_scrapes_go_on_alone_after_any_restart(world):
    exporter, addresses, pair = start_pushed(world, series=50)
    assert pair.push_config(config(), generation=3)[0] == 200
    assert pair.push_targets({"a": [target(a, i + 1) for i, a in enumerate(addresses)]}, generation=8)[0] == 200
    wait_for("both up", 30, lambda: pair.all_up(2))
    wait_for("five proofs", 30, lambda: min(s["goodScrapes"] for s in pair.statuses().values()) >= 5)
    pair.kvass.stop()  # in order: what is known is saved
    pair.start_kvass()
    assert min(s["goodScrapes"] for s in pair.statuses().values()) >= 5
    for who in ("kvass", "prometheus", "both"):
        if who != "prometheus":
            pair.kvass.kill()
            pair.kvass.stop()
        if who != "kvass":
            pair.prometheus.kill()
            pair.prometheus.stop()
            pair.start_prometheus(wait=False)
        if who != "prometheus":
            pair.start_kvass()
        wait_for("Prometheus", 30, lambda: http(pair.prometheus_url + "/-/ready")[0] == 200)
        wait_for("both up", 30, lambda: pair.all_up(2))
        wait_for("what was acknowledged", 30,
                 lambda: (pair.info()["generation"], pair.info()["configGeneration"], pair.info().get("error")) == (8, 3, None))
        seen = pair.statuses()["1"]["ScrapeTimes"]
        wait_for("further scrapes", 30, lambda: pair.statuses()["1"]["ScrapeTimes"] > seen + 2)
    # kvass was away for a moment only, and what came through meanwhile waited: no target was ever down for Prometheus' clients
    assert all(v == 1 for v in pair.values("up").values())


def test_what_leaves_is_served_across_a_restart(world):
    """A target that left the file is scraped for some seconds yet; a restart in between must not refuse it."""
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config())[0] == 200
    both = [target(a, i + 1) for i, a in enumerate(addresses)]
    assert pair.push_targets({"a": both})[0] == 200
    wait_for("both up", 30, lambda: pair.all_up(2))
    assert pair.push_targets({"a": both[:1]}, generation=2)[0] == 200
    pair.kvass.kill()
    pair.kvass.stop()
    pair.start_kvass()
    assert pair.statuses()["2"]["TargetState"] == "leaving"
    url = f"http://{addresses[1]}/metrics?_hash=2&_jobName=a&_scheme=http"
    assert proxied(pair, url)[0] == 200
    assert proxied(pair, url.replace("_hash=2", "_hash=3"))[0] == 403


def proxied(pair, url):
    import urllib.error
    import urllib.request
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{pair.proxy_port}"}))
    try:
        with opener.open(url, timeout=10) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def test_the_store_of_an_older_kvass_is_read_once(world):
    exporter, addresses = world.exporter("--series=20", listeners=2)
    pair = Beside(world, ["--config.file="])
    os.makedirs(pair.store)
    old = {"Targets": {"a": [target(addresses[0], BIG)]}, "IdleAt": None}
    write(os.path.join(pair.store, "kvass-shard.json"), json.dumps(old))
    write(os.path.join(pair.store, "targets.json"), json.dumps({"a": [target(addresses[1], 3)]}))
    pair.start_kvass().start_prometheus()
    assert set(pair.statuses()) == {str(BIG)}
    assert pair.push_config(config())[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    pair.kvass.stop()
    write(os.path.join(pair.store, "kvass-shard.json"), json.dumps({"Targets": {}}))
    pair.start_kvass()
    assert set(pair.statuses()) == {str(BIG)}


def damage(path):
    with open(path, "r+b") as f:
        f.seek(40)
        f.write(b"\xff\xff\xff")


def test_a_damaged_state_is_set_aside(world):
    """The one before stands in for it; only without that it begins with nothing."""
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(a, i) for i, a in enumerate(addresses)]}, generation=7)[0] == 200
    pair.wait_acknowledged(generation=7)
    pair.kvass.stop()
    path = os.path.join(pair.store, "kvass-sidecar.state")
    damage(path)
    pair.start_kvass()
    assert any(name.startswith("kvass-sidecar.state.bad-") for name in os.listdir(pair.store))
    assert "stored the time before" in pair.kvass.output() and http(pair.url + "/-/ready")[0] == 200
    assert len(pair.statuses()) == len(addresses) and pair.info()["generation"] == 7
    pair.kvass.stop()
    damage(path)
    damage(path + ".old")
    pair.start_kvass()
    assert "empty assignment" in pair.kvass.output() and http(pair.url + "/-/ready")[0] == 503
    assert pair.push_config(config(), generation=2)[0] == 200


def test_two_sidecars_do_not_share_a_store(world):
    exporter, addresses, pair = start_pushed(world)
    other = Beside(world, ["--config.file="])
    other.start_kvass(wait=False)
    assert other.kvass.child.wait(30) == 1
    assert "another kvass uses this store.path" in other.kvass.output()


# ------------------------------------------------------------------------------------------------ file mode


def start_file(world, text, listeners=2, options=(), **more):
    exporter, addresses = world.exporter("--series=30", listeners=listeners)
    origin = os.path.join(world.directory, "origin.yml")
    if text is not None:
        write(origin, text)
    pair = Beside(world, [f"--config.file={origin}", *options], **more).start_kvass()
    return exporter, addresses, origin, pair


def test_file_mode_follows_its_file(world):
    exporter, addresses, origin, pair = start_file(world, config())
    pair.start_prometheus()
    first_hash = wait_for("the configuration", 30, lambda: pair.info()["ConfigHash"])
    status, answer = pair.push_config(config(["b"]))
    assert status == 400 and answer["errorType"] == "bad_data" and "--config.file" in answer["error"]
    assert pair.push_targets({"a": [target(addresses[0], 1)], "b": [target(addresses[1], 2, job="b")]})[0] == 200
    wait_for("a up", 30, lambda: pair.statuses()["1"]["health"] == "up")
    write(origin, config(["a", "b"]))  # b's targets were waiting for it
    assert http(pair.url + "/-/reload/", "POST", "")[0] == 200
    wait_for("b up", 30, lambda: pair.all_up(2))
    assert wait_for("the hash", 10, lambda: pair.info()["ConfigHash"] != first_hash and pair.info()["ConfigHash"])
    write(origin, config(["a", "b"]).replace("1s", "never"))
    status, text = http(pair.url + "/-/reload", "POST", "")
    assert status == 500 and "failed to reload config" in text and "origin.yml" in text
    assert "configuration: " in pair.info()["error"] and pair.all_up(2)
    write(origin, config(["a"]))
    pair.kvass.kill(signal.SIGHUP)
    wait_for("the signal", 10, lambda: "error" not in pair.info())
    wait_for("b leaves", 10, lambda: pair.statuses()["2"]["TargetState"] == "leaving")
    write(origin, config(["a", "only-c"]))  # nobody says anything: the change is seen
    wait_for("c", 30, lambda: "only-c" in get_data(pair.url + "/api/v1/status/config/")["yaml"])


def test_file_mode_starts_on_with_the_last_good_one(world):
    exporter, addresses, origin, pair = start_file(world, config())
    pair.start_prometheus()
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    pair.kvass.kill()
    pair.kvass.stop()
    write(origin, "scrape_configs: {")
    pair.start_kvass()
    assert "configuration: " in pair.info()["error"]
    wait_for("up", 30, lambda: pair.statuses()["1"]["health"] == "up" and pair.statuses()["1"]["ScrapeTimes"] > 0)
    write(origin, config())
    wait_for("the good one", 30, lambda: "error" not in pair.info())


def test_file_mode_waits_for_a_file_that_comes_later(world):
    exporter, addresses, origin, pair = start_file(world, None)
    assert http(pair.url + "/-/ready")[0] == 503 and "origin.yml" in pair.info()["error"]
    pair.start_prometheus()  # starts: a file without jobs is there
    write(origin, config())
    wait_for("ready", 30, lambda: http(pair.url + "/-/ready")[0] == 200)
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))


# ------------------------------------------------------------------------------------------------ the rest of the contract


def test_stop_scraping_is_durable(world):
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    path = pair.url + "/api/v1/status/extra_config/"
    for bad in ([], "x", {"stopScrapeReason": 3}, {"stopScrapeReason": ["x"]}):
        assert post(path, bad)[0] == 400
    assert post(path, {"stopScrapeReason": "disk \"full\""}) == (200, {"status": "success"})
    assert json.loads(get_data(path)["json"]) == {"stopScrapeReason": "disk \"full\""}

    def prometheus_says():
        [t] = get_data(pair.prometheus_url + "/api/v1/targets?state=active")["activeTargets"]
        return t["health"] == "down" and "disk" in t["lastError"]

    wait_for("the reason in Prometheus", 30, prometheus_says)
    asked = exporter.stats()
    pair.kvass.kill()
    pair.kvass.stop()
    pair.start_kvass()
    assert json.loads(get_data(path)["json"]) == {"stopScrapeReason": "disk \"full\""}
    wait_for("still", 30, prometheus_says)
    assert exporter.stats()["scrapes"] == asked["scrapes"]  # nothing was even asked
    assert post(path, {})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))


def test_files_belong_to_the_group_prometheus_is_in(world):
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another group")
    import grp
    group = grp.getgrnam("nogroup")
    exporter, addresses, pair = start_pushed(world, options=["--store.group=nogroup"])
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    out = os.path.dirname(pair.output)
    for path, mode in ((out, 0o750), (pair.output, 0o640), (os.path.join(out, "targets"), 0o750), (os.path.join(out, "targets", "a.json"), 0o640)):
        assert (os.stat(path).st_gid, os.stat(path).st_mode & 0o777) == (group.gr_gid, mode), path


def test_self_monitoring_and_the_pods_name(world):
    exporter, addresses, pair = start_pushed(world, options=["--shard.self-monitor"], env={"POD_NAME": "prometheus-k8s-7"})
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]})[0] == 200
    wait_for("the job", 30, lambda: query(pair.prometheus_url, 'up{job="prometheus_shards"} == 1'))
    [(labels, _)] = query(pair.prometheus_url, 'up{job="prometheus_shards"}')
    assert (labels["replicate"], labels["shard"]) == ("prometheus-k8s-7", "7")
    wait_for("up", 30, lambda: pair.all_up(1))
    with open(os.path.join(os.path.dirname(pair.output), "targets", "a.json")) as f:
        assert json.load(f)[0]["labels"]["__param__shard"] == "prometheus-k8s-7"


@pytest.mark.parametrize("pod,replica", [("prometheus-rep-1-10", "prometheus-rep-1"), ("prometheus-7d9f-x2k", "${REPLICA}"), ("", "${REPLICA}")])
def test_external_labels_tell_shards_and_replicas_apart(world, pod, replica):
    _, _, pair = start_pushed(world, env={"POD_NAME": pod})
    text = json.dumps({"global": {"scrape_interval": "1s", "external_labels": {"shard": "${SHARD}", "replica": "${REPLICA}"}}, "scrape_configs": []})
    assert pair.push_config(text)[0] == 200
    labels = {"shard": pod or "shard-0", "replica": replica}
    wait_for("the labels", 60, lambda: all(f"{k}: {v}" in get_data(pair.prometheus_url + "/api/v1/status/config")["yaml"] for k, v in labels.items()))


def test_an_agent_without_head_figures(world):
    exporter, addresses, pair = start_pushed(world, options=["--shard.fetch-head-series=false"], agent=True)
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(a, i) for i, a in enumerate(addresses)]}, generation=4)[0] == 200
    pair.wait_acknowledged(generation=4)
    wait_for("both up", 30, lambda: pair.all_up(2))
    wait_for("the sum for a head", 60, lambda: pair.info()["headSeries"] == 600 and pair.info()["health"] == "ready")


def test_a_prometheus_that_cannot_reload_is_said(world):
    exporter, addresses = world.exporter("--series=10")
    pair = Beside(world, ["--config.file="]).start_kvass()
    assert "connect" in wait_for("an error", 20, lambda: pair.info().get("error"))
    pair.start_prometheus(lifecycle=False)
    assert pair.push_config(config(), generation=2)[0] == 200
    wait_for("a remedy", 30, lambda: "--web.enable-lifecycle" in pair.info().get("error", ""))
    wait_for("a remedy in the log", 30, lambda: "--web.enable-lifecycle" in pair.kvass.output())
    assert pair.info()["configGeneration"] == 0
    pair.prometheus.stop()
    pair.start_prometheus()
    pair.wait_acknowledged(config_generation=2, seconds=90)
    assert "error" not in pair.info()


def test_a_prometheus_that_refuses_the_file_is_said(world):
    """What kvass takes and this Prometheus does not: its own words reach the coordinator, and the next good one ends it."""
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config(), generation=1)[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]}, generation=1)[0] == 200
    pair.wait_acknowledged(generation=1, config_generation=1)
    wait_for("up", 30, lambda: pair.all_up(1))
    newer = json.dumps({"rule_files": [os.path.join(world.directory, "*.rules")], **json.loads(config())})
    write(os.path.join(world.directory, "bad.rules"), "groups: [{name: x, rules: [{record: y, expr: 'sum('}]}]")
    assert pair.push_config(newer, generation=2)[0] == 200
    wait_for("Prometheus' refusal", 30, lambda: "HTTP status 500" in pair.info().get("error", ""))
    assert pair.info()["configGeneration"] == 1
    assert pair.all_up(1), pair.statuses()
    assert pair.push_config(config(), generation=3)[0] == 200
    pair.wait_acknowledged(config_generation=3)
    assert "error" not in pair.info()


def test_scrape_proxy_of_the_environment(world):
    """SCRAPE_PROXY: every scrape goes through that proxy."""
    import http.server
    import threading
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Origin-Proxy")))
            body = b"one 1\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.started.append(server.shutdown)
    pair = Beside(world, ["--config.file="], env={"SCRAPE_PROXY": f"http://127.0.0.1:{server.server_port}"})
    pair.start_kvass().start_prometheus()
    assert pair.push_config(config(proxy_url="http://its.own.proxy:3128"))[0] == 200
    assert pair.push_targets({"a": [target("no.such.host:80", 1)]})[0] == 200
    wait_for("up through the proxy", 30, lambda: pair.all_up(1))
    path, origin = seen[0]
    assert path.startswith("http://no.such.host") and "_hash" not in path and origin == "http://its.own.proxy:3128"


# ------------------------------------------------------------------------------------------------ hostile bodies


def test_hostile_bodies_cost_an_answer(world):
    exporter, addresses, pair = start_pushed(world)
    assert pair.push_config(config())[0] == 200
    assert pair.push_targets({"a": [target(addresses[0], 1)]}, generation=3)[0] == 200
    wait_for("up", 30, lambda: pair.all_up(1))
    t = target(addresses[0], 1)
    bodies = [b"", b"{", b"null", b"[]", b"[" * 1000000, b'{"Targets":' * 300000, b'{"Targets":[]}', b'{"Targets":{"a":{}}}', b"\xff\xfe{}",
              b'{"Targets":{"a":[1]}}', b'{"Targets":{"a":[{"hash":-1}]}}', b'{"Targets":{"a":[{"hash":18446744073709551616}]}}',
              b'{"Targets":{"a":[{"hash":1e3}]}}', b'{"Targets":{"a":[{"hash":1,"labels":[]}]}}', b'{"Targets":{"a":[{"hash":1,"labels":{"x":1}}]}}',
              b'{"Targets":{"a":[{"hash":1,"TargetState":"gone"}]}}', b'{"generation":-1,"Targets":{}}', b'{"generation":"x","Targets":{}}',
              b"{}", b'{"targets":{}}', b'{"Targets":{},"epoch":18446744073709551615}',
              json.dumps({"Targets": {"j%d" % i: [] for i in range(100001)}}).encode(),
              json.dumps({"Targets": {"x" * 5000: [t]}}).encode(), b"[" + b"{}," * 20000000 + b"{}]"]
    for body in bodies:
        status, answer = post(pair.url + "/api/v1/shard/targets/", body, timeout=120)
        assert status in (400, 413), (body[:80], status, answer)
        assert answer["status"] == "error" and answer["error"]
    for body in (b"{}", b'{"rawContent":3}', b'{"rawContent":null}', b"[]", b"{" * 100000):
        assert post(pair.url + "/api/v1/status/config/", body)[0] == 400, body[:40]
    try:
        status = post(pair.url + "/api/v1/shard/targets/", b" " * (100 << 20), timeout=120)[0]
    except OSError:
        status = 413  # the connection was ended while we were still sending
    assert status == 413
    assert pair.kvass.running() and pair.all_up(1) and pair.info()["generation"] == 3
    with open(f"/proc/{pair.kvass.pid}/status") as f:
        peak = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
    assert peak < 1500 * 1024, f"{peak} kB"
    # one odd target costs itself only
    odd = [target("", 7), {"hash": 8}, target("http://x/y", 9), t]
    assert pair.push_targets({"a": odd}, generation=4)[0] == 200
    pair.wait_acknowledged(generation=4)
    seen = pair.statuses()["1"]["ScrapeTimes"]
    wait_for("the good one goes on", 30, lambda: pair.statuses()["1"]["ScrapeTimes"] > seen + 1)
    assert scalar(pair.prometheus_url, "count(up == 1)") == 1


# ------------------------------------------------------------------------------------------------ figures per metric


def test_samples_by_metric_are_counted_on_demand(world):
    exporter, addresses, pair = start_pushed(world, series=300)
    drop = [{"source_labels": ["__name__"], "regex": ".*total", "action": "drop"}]
    text = json.dumps({"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [
        {"job_name": "jobs-a", "metric_relabel_configs": drop}, {"job_name": "other"}, {"job_name": "down"}]})
    assert pair.push_config(text)[0] == 200
    assert pair.push_targets({"jobs-a": [target(a, i, job="jobs-a") for i, a in enumerate(addresses)],
                              "other": [target(addresses[0], 7, job="other")],
                              "down": [target("127.0.0.1:1", 8, job="down")]})[0] == 200
    wait_for("three up, one down", 30, lambda: sorted(s["health"] for s in pair.statuses().values()) == ["down", "up", "up", "up"])
    plain = get_data(pair.url + "/api/v1/shard/samples/")
    assert set(plain) == {"jobs-a", "other", "down"} and all(j["metricsTotal"] == {} for j in plain.values())
    detail = get_data(pair.url + "/api/v1/shard/samples/?job=jobs&with_metrics_detail=true")
    assert set(detail) == {"jobs-a"}
    want = {m["__name__"]: float(v) for m, v in query(pair.prometheus_url, 'count by (__name__) ({job="other"})')
            if m["__name__"] != "up" and not m["__name__"].startswith("scrape_")}
    assert len(want) > 1
    got = detail["jobs-a"]["metricsTotal"]
    assert {name: f["scraped"] for name, f in got.items()} == {name: 2 * n for name, n in want.items()}
    dropped = {name for name, f in got.items() if f["total"] == 0}
    assert dropped == {name for name in want if name.endswith("total")}
    assert sum(f["scraped"] for f in got.values()) == detail["jobs-a"]["scrapedTotal"] == 600
    assert sum(f["total"] for f in got.values()) == detail["jobs-a"]["total"]
    every = get_data(pair.url + "/api/v1/shard/samples/?with_metrics_detail=true")  # a target that is down holds nobody up
    assert every["down"]["metricsTotal"] == {} and every["other"]["metricsTotal"].keys() == want.keys()
    assert get_data(pair.url + "/api/v1/shard/samples/?job=none&with_metrics_detail=true") == {}
    # an end while somebody waits for a target that is never scraped again
    exporter.control("stall=1", listener=1)
    import threading

    def ask():
        try:
            http(pair.url + "/api/v1/shard/samples/?job=a&with_metrics_detail=true")
        except OSError:
            pass  # answered or not, it ends

    thread = threading.Thread(target=ask)
    thread.start()
    assert pair.kvass.stop() == 0
    thread.join(20)
    assert not thread.is_alive()
