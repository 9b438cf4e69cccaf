"""What a real API server does not do on demand, by a scripted one: expired watches in every form, streams that end or stand still in the
middle, compression, streaming lists, discovery.k8s.io/v1, overload in plain text. One script per path says what each request gets."""
import gzip
import json
import subprocess
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import KVASS, http, wait_for, write


def pod(name, version="1", ip="10.0.0.1", **labels):
    return {"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "n", "resourceVersion": version, "labels": labels, "managedFields": [{"x": "]}\"" * 50}]},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}, "status": {"podIP": ip, "phase": "Running"}}


def pods(*items, version="10", **more):
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version, **more}, "items": list(items)}


def event(type_, object_):
    return (json.dumps({"type": type_, "object": object_}) + "\n").encode()


def gone(code=410, reason="Expired"):
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "too old resource version: 1 (2)"}


def bookmark(version, **annotations):
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": version, "annotations": annotations}})


class Server:
    """script(request) is called for each one; see Request for what it may do."""

    def __init__(self, script):
        self.requests = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                r = Request(self, outer)
                with outer.lock:
                    outer.requests.append(r)
                    r.index = len([o for o in outer.requests if o.kind == r.kind]) - 1
                try:
                    script(r)
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, kind):
        with self.lock:
            return len([r for r in self.requests if r.kind == kind])

    def last(self, kind):
        with self.lock:
            return [r for r in self.requests if r.kind == kind][-1]

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


class Request:
    def __init__(self, handler, server):
        parts = urllib.parse.urlsplit(handler.path)
        self.handler, self.server, self.path = handler, server, parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        self.headers = handler.headers
        self.kind = "streamed" if "sendInitialEvents" in self.query else "watch" if "watch" in self.query else "list"

    def answer(self, body, status=200, content_type="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(data))), *headers):
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(data)

    def begin(self):
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()
        self.handler.wfile.flush()

    def send(self, data):
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def end(self):
        """A clean end; without it the connection breaks."""
        self.handler.wfile.write(b"0\r\n\r\n")

    def hold(self):
        self.server.ended.wait(60)

    def refuse_streaming(self):
        self.answer({"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden"}, 422)


@pytest.fixture
def serve():
    servers = []

    def start(script):
        servers.append(Server(script))
        return servers[-1]
    yield start
    for s in servers:
        s.close()


def configuration(url, role="pod", **more):
    return json.dumps({"global": {"scrape_interval": "5m"}, "scrape_configs": [
        {"job_name": "j", "kubernetes_sd_configs": [{"role": role, "api_server": url, **more}]}]})


def check(tmp_path, url, role="pod", timeout="60s", version="3.5", **more):
    """(status, discovered labels, stderr) of kvass check service-discovery."""
    write(tmp_path / "p.yml", configuration(url, role, **more))
    done = subprocess.run([KVASS, "check", "service-discovery", f"--timeout={timeout}", f"--prometheus.version={version}",
                           str(tmp_path / "p.yml"), "j"], capture_output=True, text=True, timeout=180)
    return done.returncode, [t["discoveredLabels"] for t in json.loads(done.stdout or "[]")], done.stderr


def names(labels):
    return sorted(l["__meta_kubernetes_pod_name"] for l in labels)


def running(world, server):
    """An appliance that discovers from the server; names() of it."""
    write(world.directory + "/prometheus.yml", configuration(server.url))
    kvass = world.appliance("--shard.max-shard=1", "--target.grace=0s", shards_max=1)

    def now():
        return names([t["discoveredLabels"] for t in kvass.targets("j")])
    return kvass, now


def metric(kvass, name, label):
    for line in http(kvass.url + "/metrics")[1].splitlines():
        if line.startswith(name + "{") and label in line:
            return float(line.rsplit(" ", 1)[1])
    return 0.0


# ---------------------------------------------------------------------------------------------------- lists


def test_streamed_list(serve, tmp_path):
    """sendInitialEvents: complete at the end mark, not before; no other list is asked for."""
    def script(r):
        assert r.query["resourceVersionMatch"] == "NotOlderThan" and r.query["allowWatchBookmarks"] == "true"
        r.begin()
        for i in range(3):
            r.send(event("ADDED", pod(f"p{i}", ip=f"10.0.0.{i}")))
        r.send(bookmark("20"))
        time.sleep(0.3)
        r.send(event("ADDED", pod("p3", ip="10.0.0.3")))
        r.send(bookmark("21", **{"k8s.io/initial-events-end": "true"}))
        r.hold()
    server = serve(script)
    status, labels, _ = check(tmp_path, server.url)
    assert status == 0 and names(labels) == ["p0", "p1", "p2", "p3"]
    assert server.count("list") == 0


@pytest.mark.parametrize("refusal", ["422", "400 text", "ends early", "error event"])
def test_servers_without_streamed_lists(serve, tmp_path, refusal):
    def script(r):
        if r.kind == "streamed" and refusal == "422":
            r.refuse_streaming()
        elif r.kind == "streamed" and refusal == "400 text":
            r.answer(b"bad request", 400, "text/plain")
        elif r.kind == "streamed" and refusal == "error event":
            r.begin()
            r.send(event("ADDED", pod("not-for-long")))
            r.send(event("ERROR", {"kind": "Status", "code": 500, "message": "storage feature RequestWatchProgress is disabled"}))
            r.end()
        elif r.kind == "streamed" and r.index == 0:
            r.begin()
            r.send(event("ADDED", pod("not-for-long")))
            r.end()
        elif r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a"), pod("b", ip="10.0.0.2")))
        else:
            r.begin()
            r.hold()
    status, labels, _ = check(tmp_path, serve(script).url)
    assert status == 0 and names(labels) == ["a", "b"]


def test_gzip_is_for_lists_only(serve, tmp_path):
    seen = {}

    def script(r):
        seen.setdefault(r.kind, r.headers.get("Accept-Encoding"))
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(gzip.compress(json.dumps(pods(*[pod(f"p{i}", ip=f"10.0.{i // 250}.{i % 250}") for i in range(1000)])).encode()),
                     headers=[("Content-Encoding", "gzip")])
        else:
            r.begin()
            r.hold()
    status, labels, _ = check(tmp_path, serve(script).url)
    assert status == 0 and len(labels) == 1000
    assert seen["list"] == "gzip" and seen["streamed"] is None and seen.get("watch") is None


def members(data, size):
    """The same bytes as several gzip members, one behind the other, which is one gzip file (RFC 1952, 2.2)."""
    return b"".join(gzip.compress(data[i:i + size]) for i in range(0, len(data), size))


@pytest.mark.parametrize("form", ["one after the other", "the second cut", "not gzip at all", "empty", "a bomb"])
def test_gzip_that_is_not_one_whole_member(serve, tmp_path, form):
    """Whatever of a list cannot be decoded is no list: never a part of one taken for the whole; it is asked for again."""
    whole = json.dumps(pods(*[pod(f"p{i}", ip=f"10.0.{i // 250}.{i % 250}") for i in range(600)])).encode()
    bodies = {"one after the other": members(whole, len(whole) // 3 + 1), "the second cut": members(whole, len(whole) // 2 + 1)[:-20],
              "not gzip at all": whole, "empty": b"", "a bomb": members(b" " * 2**26, 2**26) * 8}

    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list" and r.index == 0:
            r.answer(bodies[form], headers=[("Content-Encoding", "gzip")])
        elif r.kind == "list":
            r.answer(pods(pod("whole")))
        else:
            r.begin()
            r.hold()
    server = serve(script)
    status, labels, _ = check(tmp_path, server.url)
    assert status == 0
    if server.count("list") == 1:
        assert len(labels) == 600, "a part was taken for the whole"
    else:
        assert names(labels) == ["whole"]


def test_a_watch_that_is_compressed_unasked(serve, world):
    """A server that compresses a watch, though it was not offered: the list stays, and is renewed; nobody asks in a loop."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a")) if r.index == 0 else pods(pod("a"), pod("b", ip="10.0.0.2")))
        else:
            r.handler.send_response(200)
            for name, value in (("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")):
                r.handler.send_header(name, value)
            r.handler.end_headers()
            for i in range(20):
                r.send(gzip.compress(event("ADDED", pod(f"c{i}", str(11 + i), ip="10.0.0.3"))))
            r.end()
    server = serve(script)
    kvass, now = running(world, server)
    wait_for("the list, or the list anew", 180, lambda: "a" in now())
    before = len(server.requests)
    time.sleep(5)
    assert len(server.requests) - before <= 12
    assert "a" in now() and kvass.child.poll() is None


def test_a_watch_with_a_slow_head(serve, world):
    """Its head comes byte by byte, seconds after the request; what follows is taken."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a")))
        else:
            time.sleep(3)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n":
                r.handler.wfile.write(bytes([byte]))
                r.handler.wfile.flush()
                time.sleep(0.02)
            r.send(event("ADDED", pod("b", "11", ip="10.0.0.2")))
            r.hold()
    server = serve(script)
    _, now = running(world, server)
    wait_for("the event", 180, lambda: now() == ["a", "b"])
    assert server.count("watch") == 1


@pytest.mark.parametrize("form", ["breaks", "never comes", "stops in the middle"])
def test_a_watch_without_a_whole_head(serve, world, form):
    """It is given up in time (30 s) rather than kept for the minutes a silent watch may last; the list stays, the next watch goes on."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a")))
        elif r.index == 0:
            if form != "never comes":
                r.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: appl" if form == "breaks" else b"HTTP/1.1 2")
                r.handler.wfile.flush()
            if form == "breaks":
                time.sleep(1)
            else:
                r.hold()
        else:
            r.begin()
            r.send(event("ADDED", pod("b", "11", ip="10.0.0.2")))
            r.hold()
    server = serve(script)
    _, now = running(world, server)
    wait_for("the list", 180, lambda: now())
    wait_for("the event of the next watch", 240, lambda: now() == ["a", "b"])
    assert server.count("list") == 1


def test_list_in_drops_with_slow_head(serve, tmp_path):
    """Bytes as they come, one by one in places; the head after two seconds."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            time.sleep(2)
            data = json.dumps(pods(pod("a\u00e9"), pod("b", ip="fd00::1", key="v\"]}{[\\"))).encode()
            r.begin()
            for i in range(0, 200):
                r.send(data[i:i + 1])
            for i in range(200, len(data), 7):
                r.send(data[i:i + 7])
            r.end()
        else:
            r.begin()
            r.hold()
    status, labels, _ = check(tmp_path, serve(script).url)
    assert status == 0 and names(labels) == ["a\u00e9", "b"]
    assert labels[0]["__meta_kubernetes_pod_label_key"] == "v\"]}{[\\" or labels[1]["__meta_kubernetes_pod_label_key"] == "v\"]}{[\\"


def test_one_broken_object_costs_itself_only(serve, tmp_path):
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            good = [json.dumps(pod(n, ip=ip)).encode() for n, ip in (("a", "10.0.0.1"), ("b", "10.0.0.2"))]
            bad = [b'{"metadata": {"name": "c" "x"}}', b'{"metadata": {}}', b'{"metadata": {"name": "d", "labels": ' + b"[" * 90 + b"]" * 90 + b"}}"]
            r.answer(b'{"kind":"PodList","items":[' + b",".join([good[0], *bad, good[1]]) + b'],"metadata":{"resourceVersion":"3"}}')
        else:
            r.begin()
            r.hold()
    status, labels, _ = check(tmp_path, serve(script).url)
    assert status == 0 and names(labels) == ["a", "b"]


def test_pages_and_an_expired_continue_token(serve, world):
    """The list begins anew when its token has expired, and what the first part showed but the second does not is gone."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "watch":
            r.answer(gone(), 410) if r.index == 0 else (r.begin(), r.hold())
        elif "continue" not in r.query:
            first = len([o for o in r.server.requests if o.kind == "list"]) <= 2
            r.answer(pods(pod("early" if first else "late"), pod("both", ip="10.0.0.2"), **{"continue": "tok/1=="}))
        elif len([o for o in r.server.requests if o.query.get("continue")]) == 1:
            assert r.query["continue"] == "tok/1=="
            r.answer({**gone(), "metadata": {"continue": "go on inconsistently"}}, 410)
        else:
            r.answer(pods(pod("last", ip="10.0.0.9"), version="12"))
    server = serve(script)
    _, now = running(world, server)
    wait_for("the second run of the list", 180, lambda: now() == ["both", "last", "late"])
    assert all(r.query.get("continue") in (None, "tok/1==") for r in server.requests)


@pytest.mark.parametrize("body,content_type,words", [
    (b"Too many requests, please try again later.\n", "text/plain", "429 Too Many Requests: Too many requests, please try again later."),
    (b"<html><title>502 Bad Gateway</title></html>", "text/html", "(a web page, not an API server's answer): 502 Bad Gateway"),
    (json.dumps({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "pods is forbidden"}).encode(), "application/json",
     "403 Forbidden: pods is forbidden")])
def test_errors_in_words(serve, tmp_path, body, content_type, words):
    status_code = int(words[:3]) if words[0].isdigit() else 502
    server = serve(lambda r: r.answer(body, status_code, content_type))
    status, labels, said = check(tmp_path, server.url, timeout="8s")
    assert status == 1 and labels == [] and ('"list pods: ' in said or '"watch pods: ' in said)
    assert words.replace('"', '\\"') in said


def test_retry_after_is_obeyed(serve, tmp_path):
    times = []

    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            times.append(time.monotonic())
            if len(times) == 1:
                r.answer(b"slow down", 429, "text/plain", [("Retry-After", "4")])
            else:
                r.answer(pods(pod("a")))
        else:
            r.begin()
            r.hold()
    status, labels, _ = check(tmp_path, serve(script).url)
    assert status == 0 and names(labels) == ["a"]
    assert times[1] - times[0] >= 3.9


# ---------------------------------------------------------------------------------------------------- watches


@pytest.mark.parametrize("form", ["status 410", "text 410", "event 410", "event gone", "504 too large"])
def test_every_form_of_expiry_lists_anew(serve, world, form):
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("old"), version="10") if r.index == 0 else pods(pod("new", ip="10.0.0.2"), version="50"))
        elif r.query["resourceVersion"] == "50":
            r.begin()
            r.hold()
        elif form == "status 410":
            r.answer(gone(), 410)
        elif form == "text 410":
            r.answer(b"gone", 410, "text/plain")
        elif form == "504 too large":
            r.answer({"kind": "Status", "code": 504, "reason": "Timeout", "message": "Too large resource version",
                      "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}, 504)
        else:
            r.begin()
            r.send(event("ERROR", gone() if form == "event 410" else gone(410, "Gone")))
            r.end()
    server = serve(script)
    kvass, now = running(world, server)
    wait_for("the new list", 180, lambda: now() == ["new"])
    wait_for("the count", 180, lambda: metric(kvass, "kvass_k8s_watch_relists_total", 'reason="expired"') >= 1)
    assert server.count("list") == 2


def test_a_stream_that_breaks_in_the_middle_of_an_event_goes_on_where_it_was(serve, world):
    """Half an event changes nothing; the next watch begins behind the last whole event or bookmark."""
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a"), version="10"))
        elif r.query["resourceVersion"] == "10":
            r.begin()
            r.send(event("ADDED", pod("b", "11", ip="10.0.0.2")) + event("DELETED", pod("a", "12"))[:40])
        elif r.query["resourceVersion"] == "11":
            r.begin()
            whole = event("DELETED", pod("a", "12")) + bookmark("15") + event("SOMETHING", {"metadata": {"resourceVersion": "99"}})
            for i in range(0, len(whole), 5):
                r.send(whole[i:i + 5])
            r.end()
        elif r.query["resourceVersion"] == "15":
            r.begin()
            r.send(event("MODIFIED", pod("b", "16", ip="10.0.0.2", changed="yes")))
            r.hold()
        else:
            r.answer(b"unexpected", 400, "text/plain")
    server = serve(script)
    kvass, now = running(world, server)
    wait_for("the last state", 180, lambda: now() == ["b"] and
             kvass.targets("j")[0]["discoveredLabels"].get("__meta_kubernetes_pod_label_changed") == "yes")
    assert [r.query["resourceVersion"] for r in server.requests if r.kind == "watch"] == ["10", "11", "15"]
    assert server.count("list") == 1


def test_events_that_cannot_be_read_cost_themselves_only(serve, world):
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a"), version="10"))
        else:
            r.begin()
            r.send(b'{"type":"ADDED","object":{"metadata":{"name":"x" 1}}}\n{"type":7}\n{"type":"ADDED","object":[]}\n')
            r.send(event("ADDED", pod("b", "11", ip="10.0.0.2")))
            r.hold()
    kvass, now = running(world, serve(script))
    wait_for("the good event", 180, lambda: now() == ["a", "b"])
    assert metric(kvass, "kvass_k8s_broken_objects_total", 'resource="pods"') == 3


def test_a_server_that_ends_watches_at_once_is_not_asked_in_a_loop(serve, world):
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a")))
        else:
            r.begin()
            r.end()
    server = serve(script)
    _, now = running(world, server)
    wait_for("the list", 180, lambda: now() == ["a"])
    before = len(server.requests)
    time.sleep(5)
    assert len(server.requests) - before <= 6
    assert now() == ["a"]


def test_a_server_that_always_says_gone_is_not_asked_in_a_loop(serve, world):
    def script(r):
        if r.kind == "streamed":
            r.refuse_streaming()
        elif r.kind == "list":
            r.answer(pods(pod("a")))
        else:
            r.answer(gone(), 410)
    server = serve(script)
    _, now = running(world, server)
    wait_for("the list", 180, lambda: now() == ["a"])
    before = len(server.requests)
    time.sleep(5)
    assert len(server.requests) - before <= 12
    assert now() == ["a"]


# ---------------------------------------------------------------------------------------------------- slices


SLICE = {"metadata": {"name": "s", "namespace": "n", "resourceVersion": "1", "labels": {"kubernetes.io/service-name": "svc"}},
         "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}, {"name": "any"}],
         "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}, "hostname": "h",
                        "nodeName": "node-1", "zone": "z", "deprecatedTopology": {"topology.kubernetes.io/zone": "z"}}]}
SERVICE = {"metadata": {"name": "svc", "namespace": "n", "resourceVersion": "1", "labels": {"a": "b"}},
           "spec": {"type": "ClusterIP", "ports": [], "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}}


def slices(r):
    second = json.loads(json.dumps(SLICE))
    second["metadata"]["name"], second["addressType"] = "s6", "IPv6"
    second["endpoints"][0]["addresses"] = ["fd00::1"]
    items = {"/apis/discovery.k8s.io/v1/endpointslices": [SLICE, second], "/api/v1/services": [SERVICE], "/api/v1/pods": []}
    if r.path not in items:
        r.answer({"kind": "Status", "code": 404, "reason": "NotFound", "message": "the server could not find the requested resource"}, 404)
    elif r.kind == "streamed":
        r.refuse_streaming()
    elif r.kind == "list":
        r.answer({"kind": "List", "metadata": {"resourceVersion": "5"}, "items": items[r.path]})
    else:
        r.begin()
        r.hold()


def test_slices_of_v1(serve, tmp_path):
    status, labels, _ = check(tmp_path, serve(slices).url, "endpointslice")
    assert status == 0
    by_address = {l["__address__"]: {k.replace("__meta_kubernetes_", ""): v for k, v in l.items()} for l in labels}
    assert sorted(by_address) == ["10.0.0.1", "10.0.0.1:80"]  # the second family is the same endpoint once more
    one = by_address["10.0.0.1:80"]
    want = {"endpointslice_endpoint_conditions_ready": "true", "endpointslice_endpoint_conditions_serving": "true",
            "endpointslice_endpoint_conditions_terminating": "false", "endpointslice_endpoint_hostname": "h",
            "endpointslice_endpoint_node_name": "node-1", "endpointslice_endpoint_zone": "z", "endpointslice_port": "80",
            "endpointslice_port_app_protocol": "http", "endpointslice_port_name": "http", "endpointslice_port_protocol": "TCP",
            "endpointslice_endpoint_topology_topology_kubernetes_io_zone": "z", "service_name": "svc", "service_label_a": "b",
            "endpointslice_address_type": "IPv4", "endpointslice_name": "s", "namespace": "n"}
    assert {k: one.get(k) for k in want} == want
    assert "endpointslice_port" not in by_address["10.0.0.1"]


def test_second_family_in_prometheus_2(serve, tmp_path):
    status, labels, _ = check(tmp_path, serve(slices).url, "endpointslice", version="2.53")
    assert status == 0 and sorted(l["__address__"] for l in labels) == ["10.0.0.1", "10.0.0.1:80", "[fd00::1]:80", "fd00::1"]
