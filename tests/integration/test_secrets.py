"""A different secret at every place of a prometheus.yml that can hold one, and what kvass shows, logs and writes."""
import json
import os
import re
import time

import pytest
import harness
from harness import KVASS, http, wait_for, write

MARK = "zq7secret"


class Secrets:
    def __init__(self, directory):
        self.directory, self.count, self.files = directory, 0, []

    def one(self):
        self.count += 1
        return f"{MARK}{self.count:03d}"

    def file(self):
        path = os.path.join(self.directory, f"held{self.count}.txt")
        with open(path, "w") as f:
            f.write(self.one())
        self.files.append(path)
        return path


def authentications(s):
    """Every way to authenticate, as keys of a client configuration."""
    return {
        "basic": {"basic_auth": {"username": "u", "password": s.one()}},
        "basic-file": {"basic_auth": {"username": "u", "password_file": s.file()}},
        "authorization": {"authorization": {"credentials": s.one()}},
        "authorization-type": {"authorization": {"type": "Token", "credentials": s.one()}},
        "authorization-file": {"authorization": {"credentials_file": s.file()}},
        "bearer": {"bearer_token": s.one()},
        "bearer-file": {"bearer_token_file": s.file()},
        "oauth2": {"oauth2": {"client_id": "c", "client_secret": s.one(), "token_url": f"http://u:{s.one()}@127.0.0.1:1/t",
                              "endpoint_params": {"p": s.one()}, "proxy_url": f"http://u:{s.one()}@127.0.0.1:1"}},
        "oauth2-file": {"oauth2": {"client_id": "c", "client_secret_file": s.file(), "token_url": "http://127.0.0.1:1/t"}},
        "proxy": {"proxy_url": f"http://u:{s.one()}@127.0.0.1:1", "proxy_connect_header": {"X": [s.one()]}},
        "proxy-scheme": {"proxy_url": f"ftp://u:{s.one()}@127.0.0.1:1"},
        "headers": {"http_headers": {"X-K": {"secrets": [s.one()]}, "X-F": {"files": [s.file()]}}},
        "tls": {"scheme": "https", "tls_config": {"ca": s.one(), "cert": s.one(), "key": s.one()}},
        "tls-file": {"scheme": "https", "tls_config": {"cert_file": s.file(), "key_file": s.file()}},
    }


def configuration(s, address):
    jobs = [{"job_name": name, "static_configs": [{"targets": [address]}], **auth} for name, auth in authentications(s).items()]
    for name, auth in authentications(s).items():
        auth.pop("scheme", None)
        jobs.append({"job_name": "sd-" + name, "http_sd_configs": [{"url": "http://127.0.0.1:1/sd", "refresh_interval": "5s", **auth}]})
    jobs.append({"job_name": "consul", "consul_sd_configs": [{"server": "127.0.0.1:1", "token": s.one()}]})
    # No password in the URL: Prometheus itself writes that into its log.
    remote = [{"url": "http://127.0.0.1:1/w", **auth} for name, auth in authentications(s).items() if name in ("basic", "authorization")]
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "1s"}, "scrape_configs": jobs, "remote_write": remote,
        "remote_read": [{"url": "http://127.0.0.1:1/r", "basic_auth": {"username": "u", "password": s.one()}}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:1"]}], "basic_auth": {"username": "u", "password": s.one()}}]},
    }
    return config


API = ["/metrics", "/api/v1/targets", "/api/v1/targets?state=active", "/api/v1/status/config", "/api/v1/status/reload", "/api/v1/shards",
       "/api/v1/moves", "/api/v1/status", "/api/v1/ledger", "/api/v1/status/flags", "/api/v1/querier/config", "/", "/targets", "/-/healthy",
       "/api/v1/plan", "/api/v1/service-discovery", "/api/v1/jobs"]


def found(text):
    return sorted(set(re.findall(MARK + r"\d\d\d", text)))


def newer_keys(config):
    """Without what Prometheus 2.42 does not know."""
    def strip(node):
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if k not in ("http_headers", "ca", "cert", "key")}
        return [strip(x) for x in node] if isinstance(node, list) else node

    kept = strip(config)
    for job in kept["scrape_configs"]:
        for sd in job.get("http_sd_configs", []):
            sd.get("oauth2", {}).pop("no_proxy", None)
    return kept


def test_secrets_are_seen_nowhere(world):
    exporter, addresses = world.exporter("--series=10")
    s = Secrets(world.directory)
    whole = newer_keys(configuration(s, addresses[0]))
    first = {**whole, "scrape_configs": [j for j in whole["scrape_configs"] if "static_configs" in j]}
    write(os.path.join(world.directory, "prometheus.yml"), json.dumps(first))
    kvass = world.appliance("--shard.max-series=6000", "--log.level=debug").wait_ready()
    jobs = len(authentications(Secrets(world.directory)))
    wait_for("verdicts on all", 90, lambda: len([t for t in kvass.targets() if t["health"] != "unknown"]) >= jobs)
    write(os.path.join(world.directory, "prometheus.yml"), json.dumps(whole))
    assert http(kvass.url + "/-/reload", "POST", "")[0] == 200
    time.sleep(6)  # discovery, tokens and scrapes fail a few times
    answered = 0
    for path in API:
        status, text = http(kvass.url + path)
        answered += status == 200
        assert found(text) == [], (path, found(text))
    assert answered >= 6
    errors = {t["scrapePool"]: t["lastError"] for t in kvass.targets()}
    print(json.dumps(errors, indent=1))
    assert found(json.dumps(errors)) == []
    assert found(kvass.output()) == [], [x for x in kvass.output().splitlines() if MARK in x][:3]
    # Written files: only what Prometheus itself needs (its remote ends), never what the proxy does for it.
    names = {}
    for folder, _, files in os.walk(kvass.store):
        for name in files:
            path = os.path.join(folder, name)
            if "/data/" in path or name.endswith(".sock"):
                continue
            with open(path, errors="replace") as f:
                held = found(f.read())
            if held:
                names[os.path.relpath(path, kvass.store)] = held
                assert os.stat(path).st_mode & 0o007 == 0, path
    assert set(os.path.basename(n) for n in names) <= {"prometheus.yml"}, names
    for n, held in names.items():
        with open(os.path.join(kvass.store, n)) as f:
            text = f.read()
        scrape = text[text.index("scrape_configs"):]
        ends = [scrape.index(k) for k in ("\nremote_write", "\nremote_read", "\nalerting", '"remote_write"') if k in scrape]
        assert found(scrape[:min(ends)] if ends else scrape) == [], n


@pytest.mark.parametrize("place", ["proxy_url: 'http://u:SECRET@:bad:port'", "authorization: {credentials: SECRET, typ: x}",
                                   "basic_auth: {username: u, password: SECRET, passwort: SECRET}", "bearer_token: [SECRET]",
                                   "oauth2: {client_id: a, client_secret: SECRET}", "http_headers: {Authorization: {secrets: [SECRET]}}",
                                   "tls_config: {key: SECRET}", "bearer_token: SECRET, basic_auth: {username: u, password: SECRET}"])
def test_messages_about_a_bad_configuration_do_not_quote_secrets(tmp_path, place):
    import subprocess
    path = tmp_path / "p.yml"
    path.write_text("scrape_configs:\n- {job_name: a, %s}\n" % place.replace("SECRET", MARK + "001"))
    done = subprocess.run([KVASS, "check", "config", str(path)], capture_output=True, text=True, timeout=30 * harness.PATIENCE)
    assert found(done.stdout + done.stderr) == [], done.stderr
