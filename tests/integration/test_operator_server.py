"""Operator resources from a scripted API server: what a real one does not do on demand. The real one is in test_kubernetes_operator.py."""
import base64
import json
import os
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import get_data, http, wait_for, write

PATH = "/apis/monitoring.coreos.com/v1alpha1/scrapeconfigs"


class Server:
    """Holds ScrapeConfigs and Secrets; a change ends every watch, and the next one begins with a list."""

    def __init__(self):
        server = self
        self.objects, self.secrets, self.events, self.paths = {}, {}, [], []
        self.credentials = set()  # those that requests carried
        self.version = 1
        self.is_missing = self.secrets_fail = False
        self.changed = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.get(self)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.events.append(body)
                server.answer(self, 201, body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def answer(h, status, body):
        data = json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def refuse(self, h, status, reason):
        self.answer(h, status, {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": "no"})

    def get(self, h):
        parts = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.paths.append(parts.path)
        self.credentials.add(h.headers.get("Authorization"))
        try:
            if parts.path == PATH:
                self.get_objects(h, query)
            elif self.secrets_fail:
                self.refuse(h, 500, "InternalError")
            elif parts.path in self.secrets:
                self.answer(h, 200, {"kind": "Secret", "data": {k: base64.b64encode(v.encode()).decode() for k, v in self.secrets[parts.path].items()}})
            else:
                self.refuse(h, 404, "NotFound")
        except OSError:
            pass

    def get_objects(self, h, query):
        with self.changed:
            if "sendInitialEvents" in query:
                self.refuse(h, 422, "Invalid")
            elif self.is_missing:
                self.refuse(h, 404, "NotFound")
            elif "watch" not in query:
                self.answer(h, 200, {"kind": "ScrapeConfigList", "metadata": {"resourceVersion": str(self.version)},
                                     "items": list(self.objects.values())})
            else:
                self.changed.wait_for(lambda: str(self.version) != query["resourceVersion"], 60)
                self.refuse(h, 410, "Expired")

    def change(self, **more):
        with self.changed:
            for name, value in more.items():
                setattr(self, name, value)
            self.version += 1
            self.changed.notify_all()

    def put(self, name, spec, **meta):
        objects = {**self.objects, name: {"metadata": {"name": name, "namespace": "n", "uid": "u-" + name, **meta}, "spec": spec}}
        self.change(objects=objects)

    def close(self):
        self.change()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def start(server, world):
    def run(*options):
        kubeconfig = os.path.join(world.directory, "kubeconfig")
        write(kubeconfig, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url}}], "users": [{"name": "u", "user": {"token": "t"}}]}))
        write(os.path.join(world.directory, "prometheus.yml"), "global: {scrape_interval: 5m}\n")
        return world.appliance("--operator.resources=scrapeconfigs", f"--kubeconfig={kubeconfig}", "--shard.max-shard=1", "--target.grace=0s",
                               *options).wait_ready()
    return run


def target(host):
    return {"staticConfigs": [{"targets": [host + ":1"]}]}


def jobs(kvass):
    return sorted({t["scrapePool"].split("/")[-1] for t in get_data(kvass.url + "/api/v1/targets?state=active")["activeTargets"]})


def metric(kvass, name):
    found = re.findall(rf"^{re.escape(name)} (\S+)$", http(kvass.url + "/metrics")[1], re.M)
    return float(found[0]) if found else 0.0


def objects(kvass, state):
    return metric(kvass, f'kvass_k8s_operator_objects{{resource="scrapeconfigs",state="{state}"}}')


def test_a_secret_that_cannot_be_had_does_not_hold_the_others_up(server, start):
    """Neither at the start, which waits for whole sets, nor for good."""
    server.secrets_fail = True
    server.put("good", target("a"))
    server.put("needs", {**target("b"), "authorization": {"credentials": {"name": "login", "key": "token"}}})
    kvass = start("--sd.init-timeout=2s")
    wait_for("the one that needs none", 60, lambda: jobs(kvass) == ["good"])
    wait_for("the other to be waited for", 60, lambda: objects(kvass, "waiting") == 1 and objects(kvass, "refused") == 0)
    server.secrets["/api/v1/namespaces/n/secrets/login"] = {"token": "t"}
    server.secrets_fail = False
    wait_for("both", 90, lambda: jobs(kvass) == ["good", "needs"])
    server.secrets_fail = True
    server.put("third", target("c"))
    wait_for("all, with the value that is held", 60, lambda: jobs(kvass) == ["good", "needs", "third"])


def test_a_definition_that_is_gone_for_a_moment(server, start):
    """An API server that starts answers 404 for a moment: one look is not enough to forget everything."""
    server.put("good", target("a"))
    kvass = start()
    wait_for("the job", 60, lambda: jobs(kvass) == ["good"])
    server.change(is_missing=True)
    wait_for("kvass to see it", 60, lambda: "definition not installed" in kvass.output())
    http(kvass.url + "/-/reload", "POST")
    assert jobs(kvass) == ["good"]
    server.change(is_missing=False)
    server.put("more", target("b"))

    def both():
        now = jobs(kvass)
        assert "good" in now
        return now == ["good", "more"]
    wait_for("the definition to be found", 120, both)
    server.change(is_missing=True)
    wait_for("the jobs to go at the second look", 120, lambda: jobs(kvass) == [])


def test_every_bad_object_gets_its_event(server, start):
    """However many there are at once, and each once."""
    for i in range(40):
        server.put(f"bad-{i}", {"scrapeInterval": "1s", "scrapeTimeout": "2s"})
    server.put("leaving", target("x"), deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["a/b"])
    server.put("good", target("a"))
    kvass = start()
    wait_for("the good one", 60, lambda: jobs(kvass) == ["good"])
    wait_for("all Events", 90, lambda: len(server.events) >= 40)
    assert sorted(e["involvedObject"]["name"] for e in server.events) == sorted(f"bad-{i}" for i in range(40))
    event = server.events[0]
    assert (event["type"], event["reason"], event["involvedObject"]["kind"]) == ("Warning", "InvalidConfiguration", "ScrapeConfig")
    assert event["involvedObject"]["apiVersion"] == "monitoring.coreos.com/v1alpha1"
    assert event["involvedObject"]["uid"] == "u-" + event["involvedObject"]["name"]
    assert metric(kvass, "kvass_k8s_events_lost_total") == 0
    assert objects(kvass, "refused") == 40 and objects(kvass, "used") == 1


def test_a_name_reaches_no_other_path(server, start):
    """Whoever may write objects here must not read what others have."""
    server.secrets["/api/v1/namespaces/other/secrets/token"] = {"k": "v"}
    for i, name in enumerate(["../../other/secrets/token", "..%2f..%2fother%2fsecrets%2ftoken", "a/b", "token?x=", ".", ""]):
        server.put(f"sly-{i}", {**target("b"), "authorization": {"credentials": {"name": name, "key": "k"}}})
    server.put("good", target("a"))
    kvass = start()
    wait_for("the rest", 60, lambda: {"good", "sly-5"} == set(jobs(kvass)))  # an empty name is none
    wait_for("the refusals", 60, lambda: objects(kvass, "refused") == 5)
    assert not [p for p in server.paths if "secret" in p]


def test_a_token_goes_over_tls_only(server, start):
    """The kubeconfig has one, and this server has no TLS."""
    server.put("a", target("a"))
    kvass = start()
    wait_for("the job", 60, lambda: jobs(kvass) == ["a"])
    assert server.credentials == {None}
