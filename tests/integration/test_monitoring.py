"""The alert rules and the dashboard: judged by promtool, their metrics compared with the table, every query executed by a Prometheus that
scrapes a running kvass."""
import json
import os
import re
import subprocess

from harness import SOURCE, Prometheus, all_up, get_data, http, query, static_job, wait_for, write

MONITORING = os.path.join(SOURCE, "monitoring")
# What a healthy kvass has had no occasion to count: no series, and so no answer, is right.
QUIET = {"kvass_balancer_moves_started_total", "kvass_balancer_moves_ended_total", "kvass_discovery_refresh_failures_total",
         "kvass_shard_process_exits_total", "kvass_shard_state_save_failures_total", "kvass_proxy_records_dropped_total",
         "kvass_proxy_refused_total", "kvass_discovery_entries_skipped_total", "kvass_discovery_refresh_duration_seconds_sum",
         "kvass_discovery_refresh_duration_seconds_count"}

ELSEWHERE = ("kvass_k8s_", "kvass_sidecar_", "kvass_shard_remote_", "kvass_shard_service_")  # of other roles


def rows():
    with open(os.path.join(SOURCE, "src/base/metrics.def")) as f:
        return {name: (kind, set(labels.split(",")) - {""}) for kind, name, labels in
                re.findall(r'(?m)^METRIC\(\w+, (\w+), "(\w+)", "([^"]*)"', f.read())}


def dashboard_queries():
    with open(os.path.join(MONITORING, "kvass-dashboard.json")) as f:
        board = json.load(f)
    return [(p["title"], t["expr"]) for p in board["panels"] for t in p["targets"]], board


def alert_queries():
    import yaml
    with open(os.path.join(MONITORING, "kvass.rules.yml")) as f:
        return [(r["alert"], r["expr"]) for g in yaml.safe_load(f)["groups"] for r in g["rules"]]


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          check=False)


def test_rules_are_valid_and_fire_as_tested():
    done = promtool("check", "rules", os.path.join(MONITORING, "kvass.rules.yml"))
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout
    done = promtool("test", "rules", os.path.join(MONITORING, "kvass.rules.test.yml"))
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout


def test_every_alert_is_tested_to_fire():
    with open(os.path.join(MONITORING, "kvass.rules.test.yml")) as f:
        tests = f.read()
    for alert, _ in alert_queries():
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", tests), alert


def test_metrics_and_labels_exist():
    known = rows()
    for title, expression in dashboard_queries()[0] + alert_queries():
        names = re.findall(r"\bkvass_\w+", expression)
        labels = set()
        for name in names:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            kind, own = known.get(name) or known.get(base) or (None, None)
            assert kind, f"{title}: {name} is no metric of kvass"
            assert ("rate(" in expression or "increase(" in expression) == (kind != "GAUGE"), (title, expression)
            labels |= own | ({"le"} if kind == "HISTOGRAM" else set())
        for by in re.findall(r"by \(([^)]*)\)", expression):
            assert {b.strip() for b in by.split(",")} <= labels | {"instance", "job"}, (title, by)


def test_dashboard_is_whole():
    queries, board = dashboard_queries()
    used = " ".join(e for _, e in queries)
    rooms = {n.split("_")[1] for n in rows()} - {"build"}  # kvass_build_info fills the variable
    assert {r for r in rooms if f"kvass_{r}_" not in used} == set(), rooms
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    cells = [(x, y) for p in board["panels"] for g in [p["gridPos"]]
             for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert all(x < 24 for x, _ in cells)


def test_every_query_runs(world, tmp_path):
    _, addresses = world.exporter("--series=400", listeners=4)
    world.configure([static_job("load", addresses)])
    kvass = world.appliance("--shard.max-series=2000").wait_ready()
    wait_for("targets up", 90, lambda: all_up(kvass, 4))
    config = str(tmp_path / "watch.yml")
    write(config, json.dumps({
        "global": {"scrape_interval": "1s"}, "rule_files": [os.path.join(MONITORING, "kvass.rules.yml")],
        "scrape_configs": [{"job_name": "kvass", "static_configs": [{"targets": [kvass.url[len("http://"):]]}]}]}))
    watcher = Prometheus(str(tmp_path / "watcher"), config)
    world.started.append(watcher.stop)
    watcher.wait_ready()
    http(kvass.url + "/-/reload", "POST", "")
    http(kvass.url + "/api/v1/targets")
    wait_for("a few samples", 60, lambda: len(query(watcher.url, "kvass_balancer_shard_ready[30s]")[0][1]) > 6)
    for title, expression in dashboard_queries()[0]:
        concrete = expression.replace("$__rate_interval", "30s").replace("$instance", ".*")
        found = query(watcher.url, concrete)
        names = set(re.findall(r"\bkvass_\w+", expression))
        assert found or names <= QUIET or all(n.startswith(ELSEWHERE) for n in names), (title, concrete)
        assert all(v != "NaN" or "histogram_quantile" in concrete for _, v in found), (title, found)
    rules = [r for g in get_data(watcher.url + "/api/v1/rules")["groups"] for r in g["rules"]]
    assert len(rules) == len(alert_queries())
    for r in wait_for("the rules to be evaluated", 90, lambda: [
            x for g in get_data(watcher.url + "/api/v1/rules")["groups"] for x in g["rules"] if x["health"] == "ok"]):
        assert r["state"] == "inactive", r
