"""kvass check config and kvass render against promtool and a running Prometheus: what we accept, refuse and write is what
they accept, refuse and read."""
import glob
import http.server
import json
import os
import random
import subprocess
import threading
import urllib.parse

import pytest
import yaml

from harness import KVASS, SOURCE, Process, Prometheus, free_ports, get_data, wait_for
from harness import http as ask

DATA = os.path.join(SOURCE, "tests", "data", "promconf")
CASES = 300 if os.environ.get("KVASS_LONG") == "1" else 30


def run(*command, timeout=60):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def promtool(version, path, *options):
    return run(version.promtool, "check", "config", *options, str(path))


def check(version, path):
    return run(KVASS, "check", "config", version.option, str(path))


def render(version, config, targets, *options):
    done = run(KVASS, "render", version.option, f"--config.file={config}", f"--targets={targets}", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_targets(path, jobs):
    """Two targets a job, in the wire form."""
    def target(job, n):
        labels = {"__address__": f"10.0.0.{n}", "__scheme__": "https", "__metrics_path__": "/metrics", "job": job,
                  "__scrape_interval__": "1m", "__scrape_timeout__": "10s", "instance": f"10.0.0.{n}:443",
                  "odd": "it's \"5\" é \\ \n", "number": "007"}
        return {"hash": 2**64 - n, "labels": labels, "series": 0, "totalSeries": 0, "TargetState": ""}
    path.write_text(json.dumps({"Targets": {job: [target(job, n) for n in (1, 2)] for job in jobs}}))
    return path


def job_names(config):
    return [j["job_name"] for j in (yaml.safe_load(open(config)) or {}).get("scrape_configs") or []]


def accepted_by_promtool(version, text, folder, *options):
    path = folder / "rendered.yml"
    path.write_text(text)
    done = promtool(version, path, *options)
    assert done.returncode == 0, done.stdout + done.stderr + text
    return yaml.safe_load(text)


def loaded_by_prometheus(version, path, folder):
    """A server starts with it."""
    port = free_ports(1)[0]
    server = Process([version.prometheus, f"--config.file={path}", f"--storage.tsdb.path={folder}/data",
                      f"--web.listen-address=127.0.0.1:{port}"], str(folder / "loaded.log"))
    try:
        wait_for("Prometheus with the rendered file", 30, lambda: ask(f"http://127.0.0.1:{port}/-/ready")[0] == 200)
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["empty", "nulls", "full", "aliases", "discovery"])
def test_rendered_golden_files_are_accepted(name, version, tmp_path):
    config = os.path.join(DATA, name + ".yml")
    targets = write_targets(tmp_path / "targets.json", job_names(config))
    assert run(KVASS, "render", "--config.file", config, "--querier").returncode == 2
    accepted_by_promtool(version, render(version, config, targets, "--shard=s-1"), tmp_path, "--syntax-only")
    text = render(version, config, targets, "--shard=s-1", f"--inject.target-dir={tmp_path}/t", "--inject.rules=drop")
    tree = accepted_by_promtool(version, text, tmp_path)
    if name != "full":  # that one names files and servers nobody has: a server refuses to start with it, rendered or not
        loaded_by_prometheus(version, tmp_path / "rendered.yml", tmp_path)
    for job in tree["scrape_configs"]:
        (path,) = job["file_sd_configs"][0]["files"]
        groups = json.load(open(path))
        assert [g["labels"]["__param__hash"] for g in groups] == [str(2**64 - 2), str(2**64 - 1)]
        assert {g["labels"]["__param__jobName"] for g in groups} == {job["job_name"]}


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(DATA, "fail-*.yml"))), ids=os.path.basename)
def test_bad_files_are_refused_by_both(version, path):
    """By 2.42, all of them; what newer ones accept, we accept for them."""
    ours = check(version, path)
    assert ours.returncode == promtool(version, path).returncode
    assert ours.returncode == 1 or version.number > (2, 42)
    assert ours.returncode == 0 or (ours.stderr.startswith(path + ":") and ours.stdout == "")


# Both verdicts must agree; the comment says where the edge is.
AGREED = [
    "scrape_configs: [{job_name: a, proxy_url: ''}]",
    "scrape_configs: [{job_name: a, proxy_url: 'http://u:p@[::1]:80/'}]",
    "scrape_configs: [{job_name: a, scrape_interval: 0s, scrape_timeout: }]",
    "scrape_configs: [{job_name: a, scrape_interval: 1w2d3h4m5s6ms}]",
    "scrape_configs: [{job_name: a, scrape_interval: 5m1h}]",
    "scrape_configs: [{job_name: a, body_size_limit: 1.5MB}]",
    "scrape_configs: [{job_name: a, body_size_limit: 1MB2KB}]",
    "scrape_configs: [{job_name: a, body_size_limit: 1mb}]",
    "scrape_configs: [{job_name: a, sample_limit: 1e3}]",
    "scrape_configs: [{job_name: a, sample_limit: 1_000}]",
    "scrape_configs: [{job_name: a, sample_limit: 0x10}]",
    "scrape_configs: [{job_name: a, sample_limit: 18446744073709551616}]",
    "scrape_configs: [{job_name: a, honor_labels: Yes}]",
    "scrape_configs: [{job_name: a, honor_labels: yEs}]",
    "scrape_configs: [{job_name: a, honor_labels: 1}]",
    "scrape_configs: [{job_name: 1}, {job_name: 1.0}, {job_name: true}]",
    "scrape_configs: [{job_name: a, static_configs: [{}]}]",
    "scrape_configs: [{job_name: a, static_configs: [{targets: [a/b]}], relabel_configs: []}]",
    "scrape_configs: [{job_name: a, params: {a: [b, 1, true, null]}}]",
    "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://:80/'}]}]",
    "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http:///x'}]}]",
    "scrape_configs: [{job_name: a, file_sd_configs: [{files: [a.YML, 'b*.json', 'c?.yaml']}]}]",
    "scrape_configs: [{job_name: a, file_sd_configs: [{files: [a.Yml]}]}]",
    "scrape_configs: [{job_name: a, basic_auth: , authorization: }]",
    "scrape_configs: [{job_name: a, basic_auth: {}, authorization: {}}]",
    "scrape_configs: [{job_name: a, scheme: foo, metrics_path: bar}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{regex: , target_label: a}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{regex: 'null', target_label: a}]}]",  # quoted: 2.42 alone refuses it
    "scrape_configs: [{job_name: a, metric_relabel_configs: [{regex: '~', target_label: a}]}]",
    "scrape_configs: [{job_name: a, metric_relabel_configs: [{regex: 'Null', target_label: a}]}]",
    "scrape_configs: [{job_name: a, metric_relabel_configs: [{regex: null, target_label: a}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{action: KEEP}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{action: keepequal, target_label: a, regex: x}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{target_label: '${1}_x'}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{action: keep, regex: '(?=x)'}]}]",
    "scrape_configs: [{job_name: a, relabel_configs: [{action: hashmod, target_label: a, modulus: 0}]}]",
    "remote_write: [{url: ''}]",
    "remote_write: [{url: x, remote_timeout: 5}]",
    "remote_read: [{url: 'http://a'}, {url: 'http://a'}]",
    "alerting: {alertmanagers: [{api_version: v1, timeout: 5s}]}",
    "global: {external_labels: {a: 1, b: true, c: }}",
    "global: {scrape_timeout: 9s}\nscrape_configs: [{job_name: a, scrape_interval: 3s}]",
    "rule_files: ['none*.yml', 'no*e?.y']",
    "a: &a {b: c}",
    "scrape_configs: [{job_name: a, &x sample_limit: 5}, {job_name: b, *x : 6}]",
    "scrape_configs:\n- &a {job_name: a}\n- {<<: *a, job_name: b}",
    "scrape_configs: [{job_name: a}]\n---\nnonsense: [",
    "%YAML 1.1\n---\nscrape_configs: []\n...\n",
    "scrape_configs: [{job_name: !!str a, sample_limit: !!int '5', honor_labels: !!bool 'yes', scheme: !!null ''}]",
    "scrape_configs: [{job_name: a, sample_limit: !!str 5}]",
    "scrape_configs: [{job_name: a, honor_labels: !!str yes}]",
    "{}",
    "",
]


@pytest.mark.parametrize("text", AGREED)
def test_verdicts_agree(text, version, tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(text + "\n")
    ours, theirs = check(version, path), promtool(version, path)
    assert ours.returncode == theirs.returncode, ours.stdout + ours.stderr + theirs.stdout + theirs.stderr


def test_missing_credential_files_are_reported(version, tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text("scrape_configs: [{job_name: a, authorization: {credentials_file: none}}]\n")
    done = check(version, path)
    assert done.returncode == 1 and promtool(version, path).returncode == 1
    assert done.stderr == f"{path}:1:18: job 'a': credentials_file: {tmp_path}/none is not readable; expected a file\n"


SECRETS = ["5", "yes", "null", "~", "0x1F", "1e3", " lead", "trail ", "a: b", "a #b", "#x", "'", '"', "it's", '\\n',
           "$1 ${HOME}", "é ü 日本", "\U0001F600", "a\tb", "multi\nline\n", "multi\n\n  line", "\nlead", "%x", "@x", "`x`",
           "*x", "&x", "!x", "|", ">", "-", "- x", "?", "{x}", "[x]", "<secret>", "x" * 3000, "word " * 800 + "end",
           "a\\b\"c'd", "\u0085\u2028", "=", "<<", "2020-01-01", "1:30", "trail\n \n"]


def test_secrets_survive_byte_for_byte(version, tmp_path):
    for style in ["'", '"', "|", None]:
        # what PyYAML itself cannot bring through in this style says nothing about us
        usable = [s for s in SECRETS if yaml.safe_load(yaml.dump([s], default_style=style, allow_unicode=True)) == [s]]
        assert len(usable) > 35
        check_secrets(version, usable, style, tmp_path)


def check_secrets(version, secrets, style, tmp_path):
    config = tmp_path / "prometheus.yml"
    names = [str(i) for i in range(len(secrets))]
    tree = {
        "remote_write": [{"url": "http://r/", "name": n, "basic_auth": {"username": s, "password": s},
                          "headers": {"X-H": s}} for n, s in zip(names, secrets)],
        "remote_read": [{"url": "http://r/", "name": n, "authorization": {"credentials": s}}
                        for n, s in zip(names, secrets)],
        "alerting": {"alertmanagers": [{"basic_auth": {"password": s}} for s in secrets]},
    }
    config.write_text(yaml.dump(tree, default_style=style, allow_unicode=True))
    assert yaml.safe_load(config.read_text()) == tree
    shown = check(version, config)
    assert shown.returncode == 0, shown.stderr
    back = accepted_by_promtool(version, render(version, config, write_targets(tmp_path / "t.json", [])), tmp_path)
    assert back.pop("scrape_configs") == []
    assert back == tree


NAMES = ["job", "job with spaces", "job/slash", "job: 'q'", "5"]
INTERVALS = ["15s", "1m", "1m30s", "2h"]
TIMEOUTS = ["5s", "10s", "14s999ms"]
SIMPLE_KEYS = {
    "scheme": ["http", "https"],
    "honor_labels": [True, False],
    "honor_timestamps": [True, False],
    "sample_limit": [0, 5],
    "target_limit": [7],
    "label_limit": [50],
    "body_size_limit": ["10MB", 0],
    "metrics_path": ["/", "/m p", "x"],
    "follow_redirects": [True, False],
    "enable_http2": [True, False],
    "proxy_url": ["http://u:p@h:1"],
    "params": [{"a[]": ["1", "2"]}, {"module": ["x"]}],
    "tls_config": [{"ca_file": "ca.pem"}, {"cert_file": "token", "key_file": "token"}, {"insecure_skip_verify": True},
                   {"server_name": "x", "min_version": "TLS12"}],
    "file_sd_configs": [[{"files": ["none/*.json"], "refresh_interval": "1m"}]],
    "dns_sd_configs": [[{"names": ["a"], "type": "A", "port": 1}]],
    "http_sd_configs": [[{"url": "https://sd/x", "basic_auth": {"username": "u", "password": "p"}}]],
    "ec2_sd_configs": [[{"region": "r", "access_key": "a", "secret_key": "s"}]],
}
RULES = [
    {"action": "labelmap", "regex": "__meta_(.+)"},
    {"source_labels": ["a", "b"], "target_label": "c", "separator": ""},
    {"action": "labeldrop", "regex": "job|x"},
    {"action": "keep", "source_labels": ["a"], "regex": "(?i)x.*"},
    {"action": "hashmod", "modulus": 4, "target_label": "__tmp", "source_labels": ["__address__"]},
    {"action": "lowercase", "source_labels": ["a"], "target_label": "job"},
    {"target_label": "__param_x", "replacement": "$1-${2}"},
]


def random_authentication(rng):
    secret = rng.choice(SECRETS)
    return rng.choice([
        {},
        {"basic_auth": {"username": "u", "password": secret}},
        {"bearer_token": "t"},
        {"bearer_token_file": "token"},
        {"authorization": {"type": "X", "credentials": secret}},
        {"authorization": {"credentials_file": "token"}},
        {"oauth2": {"client_id": "i", "client_secret": "s", "token_url": "http://t", "scopes": ["a"]}},
    ])


def random_job(rng, n):
    job = {"job_name": rng.choice(NAMES) + str(n)}
    if rng.random() < 0.4:
        job["scrape_interval"], job["scrape_timeout"] = rng.choice(INTERVALS), rng.choice(TIMEOUTS)
    for key, values in SIMPLE_KEYS.items():
        if rng.random() < 0.3:
            job[key] = rng.choice(values)
    job.update(random_authentication(rng))
    if rng.random() < 0.6:
        targets = [f"h{i}:{80 + i}" for i in range(rng.randrange(4))]
        job["static_configs"] = [{"targets": targets, "labels": {"dc": rng.choice(SECRETS)}}]
    for key in ("relabel_configs", "metric_relabel_configs"):
        if rng.random() < 0.4:
            job[key] = rng.sample(RULES, rng.randrange(1, 5))
    return job


def random_config(rng):
    tree = {"scrape_configs": [random_job(rng, n) for n in range(rng.randrange(6))]}
    secret = rng.choice(SECRETS)
    if rng.random() < 0.5:
        labels = {"s": "${SHARD}", "d": "$$ $x", "n": "5"}
        tree["global"] = {"scrape_interval": rng.choice(["15s", "1m"]), "external_labels": labels}
    if rng.random() < 0.5:
        rule = {"action": "drop", "regex": "a", "source_labels": ["b"]}
        tree["remote_write"] = [{"url": "https://u:p@r/", "authorization": {"credentials": secret},
                                 "write_relabel_configs": [rule]}]
    if rng.random() < 0.3:
        tree["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": ["am:1"]}],
                                               "basic_auth": {"password": secret}}]}
    if rng.random() < 0.3:
        tree["storage"] = {"tsdb": {"out_of_order_time_window": "1h"}}
    return tree


REPLACED = {"scheme", "proxy_url", "follow_redirects", "enable_http2", "params", "relabel_configs", "target_limit",
            "basic_auth", "bearer_token", "bearer_token_file", "authorization", "oauth2", "tls_config"}
WRITTEN = {"scheme", "proxy_url", "follow_redirects", "relabel_configs"}


def kept(job):
    return {k: v for k, v in job.items() if k not in REPLACED and not k.endswith("_configs")
            or k == "metric_relabel_configs"}


def check_rendered(back, tree, seed):
    assert [kept(j) for j in back["scrape_configs"]] == [kept(j) for j in tree["scrape_configs"]], f"seed {seed}"
    for job in back["scrape_configs"]:
        assert (job["scheme"], job["proxy_url"]) == ("http", "http://127.0.0.1:8008")
        assert job["follow_redirects"] is False
        assert not REPLACED & (set(job) - WRITTEN)
    for key in ("remote_write", "alerting", "storage"):
        assert back.get(key) == tree.get(key), f"seed {seed}"
    if "global" in tree:
        assert back["global"]["external_labels"] == {"s": "s-0", "d": "$$ $x", "n": "5"}


def test_generated_configurations(version, tmp_path):
    for name in ("token", "ca.pem"):
        (tmp_path / name).write_text("x")
    accepted = 0
    for seed in range(CASES):
        rng = random.Random(seed)
        tree, config = random_config(rng), tmp_path / "prometheus.yml"
        style = rng.choice([None, None, '"']) if seed % 5 == 0 else None
        config.write_text(yaml.dump(tree, default_flow_style=rng.choice([None, False, True]), default_style=style,
                                    allow_unicode=rng.random() < 0.5, width=40))
        theirs, ours = promtool(version, config, "--syntax-only"), check(version, config)
        assert ours.returncode == theirs.returncode, f"seed {seed}: {ours.stderr} {theirs.stderr}"
        if ours.returncode != 0:
            continue
        accepted += 1
        targets = write_targets(tmp_path / "t.json", [j["job_name"] for j in tree["scrape_configs"]])
        for options in (["--shard=s-0"], ["--shard=s-0", f"--inject.target-dir={tmp_path}/files"]):
            check_rendered(accepted_by_promtool(version, render(version, config, targets, *options), tmp_path), tree, seed)
    assert accepted > CASES * 3 // 4


class RecordingProxy(http.server.ThreadingHTTPServer):
    """Answers every request with one series and remembers the request lines."""
    daemon_threads = True

    def __init__(self):
        proxy = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                proxy.seen.append((self.path, dict(self.headers)))
                body = b"up_and_running 1\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


ORIGIN = """
global: {scrape_interval: 1s, external_labels: {shard: '${SHARD}'}}
scrape_configs:
- job_name: secure job
  scheme: https
  basic_auth: {username: u, password: p}
  params: {module: [a, b], 'c[]': [d]}
  relabel_configs:
  - {action: labelmap, regex: __meta_(.+)}
  - {action: labeldrop, regex: job}
- job_name: empty
  scheme: https
"""


LABELS = {
    "__address__": "node.invalid", "__scheme__": "https", "__metrics_path__": "/deep/metrics", "1": "one",
    "instance": "node.invalid:443", "zone": "it's \"é\"", "__param_module": "changed", "__scrape_interval__": "1s",
    "__scrape_timeout__": "1s",
}


@pytest.mark.parametrize("form", ["static", "file"])
def test_a_running_prometheus_scrapes_through_the_proxy(form, version, tmp_path):
    config, targets, rendered = tmp_path / "origin.yml", tmp_path / "targets.json", tmp_path / "prometheus.yml"
    config.write_text(ORIGIN)
    target = {"hash": 2**64 - 1, "labels": LABELS, "series": 0, "totalSeries": 0, "TargetState": ""}
    targets.write_text(json.dumps({"Targets": {"secure job": [target]}}))
    proxy = RecordingProxy()
    rendered.write_text(render(version, config, targets, f"--inject.proxy=http://127.0.0.1:{proxy.server_address[1]}",
                               "--shard=shard-3", f"--inject.targets={form}", f"--inject.target-dir={tmp_path}/t"))
    server = Prometheus(str(tmp_path / "prometheus"), str(rendered), binary=version.prometheus)
    try:
        server.wait_ready()
        wait_for("a scrape through the proxy", 60, lambda: proxy.seen)
        (found,) = get_data(server.url + "/api/v1/targets")["activeTargets"]
        assert found["labels"] == {"instance": "node.invalid:443", "1": "one", "zone": "it's \"é\""}
        assert (found["scrapePool"], found["scrapeInterval"]) == ("secure job", "1s")
        path, headers = proxy.seen[0]
        url = urllib.parse.urlsplit(path)
        assert (url.scheme, url.netloc, url.path) == ("http", "node.invalid:443", "/deep/metrics")
        assert urllib.parse.parse_qs(url.query) == {
            "_hash": [str(2**64 - 1)], "_jobName": ["secure job"], "_scheme": ["https"], "_shard": ["shard-3"],
            "module": ["changed"], **({"c[]": ["d"]} if version.major > 2 else {})}
        assert "Authorization" not in headers
        assert "shard: shard-3" in get_data(server.url + "/api/v1/status/config")["yaml"]
    finally:
        server.stop()
        proxy.shutdown()
        proxy.server_close()


@pytest.mark.parametrize("feature", [[], ["--enable-feature=expand-external-labels"]], ids=["plain", "feature"])
def test_the_environment_in_external_labels_is_what_prometheus_makes_of_it(version, feature, tmp_path, monkeypatch):
    """SHARD is ours, whatever the environment says; the rest comes out as without kvass."""
    monkeypatch.setenv("KVASS_TEST_X", "val")
    monkeypatch.setenv("SHARD", "of the environment")
    written = {"a": "${KVASS_TEST_X}", "b": "$KVASS_TEST_X", "c": "x$$y", "d": "${KVASS_TEST_NONE}"}
    origin, rendered, shown = tmp_path / "origin.yml", tmp_path / "rendered.yml", {}
    origin.write_text(json.dumps({"global": {"external_labels": {**written, "s": "${SHARD}"}}}))
    rendered.write_text(render(version, origin, write_targets(tmp_path / "t.json", []), "--shard=s-1"))
    for path in (origin, rendered):
        server = Prometheus(str(tmp_path / path.stem), str(path), feature, binary=version.prometheus)
        try:
            tree = yaml.safe_load(get_data(server.wait_ready().url + "/api/v1/status/config")["yaml"])
            shown[path.stem] = tree["global"]["external_labels"]
        finally:
            server.stop()
    assert shown["rendered"].pop("s") == "s-1"
    shown["origin"].pop("s")
    assert shown["rendered"] == shown["origin"]
    assert (shown["rendered"]["a"] == "val") == (version.major > 2 or feature != [])


def test_querier_configuration_is_accepted(version, tmp_path):
    done = run(KVASS, "render", "--querier", "--url=http://127.0.0.1:1/", "--url", "http://127.0.0.1:2/prefix/")
    tree = accepted_by_promtool(version, done.stdout, tmp_path)
    assert tree == {"remote_read": [{"url": "http://127.0.0.1:1/api/v1/read", "read_recent": True},
                                    {"url": "http://127.0.0.1:2/prefix/api/v1/read", "read_recent": True}]}


def test_command_line_errors(tmp_path):
    config = tmp_path / "p.yml"
    config.write_text("scrape_configs: [{job_name: a}]\n")
    bad = tmp_path / "bad.json"
    bad.write_text('{"Targets": [')
    for options, status, said in [
            (["--targets=x"], 2, "no --config.file"),
            ([f"--config.file={config}", "--inject.targets=file"], 2, "--inject.target-dir"),
            ([f"--config.file={config}", "--inject.targets=other"], 2, "static or file"),
            ([f"--config.file={config}", "--inject.rules=x"], 2, "keep or drop"),
            ([f"--config.file={config}", "--prometheus.version=1"], 2, "2.x or 3.x"),
            (["--config.file=/none/p.yml"], 1, "/none/p.yml"),
            ([f"--config.file={config}", f"--targets={bad}"], 1, str(bad)),
            (["--querier"], 2, "--url"),
            (["--url"], 2, "needs a value")]:
        done = run(KVASS, "render", *options)
        assert (done.returncode, said in done.stderr, done.stdout) == (status, True, ""), (options, done.stderr)
