"""The sidecar's reverse proxy: every path that is not its own goes to Prometheus and comes back as it was, streaming; and who may use it."""
import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
from harness import Process, free_ports, get_data, http as fetch, wait_for, write
from sidecar_harness import Beside, post, target

MB = 1 << 20


class Upstream:
    """A server that tells what it was asked and misbehaves on demand."""

    def __init__(self):
        upstream = self
        self.seen, self.gone, self.sent, self.connections = [], threading.Event(), 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                upstream.connections.append(self.connection)

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                path = self.path.split("?")[0]
                upstream.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if path == "/api/v1/status/buildinfo":
                    return self.plain(404, b"")
                if path == "/big":
                    return self.big(int(self.path.split("=")[1]), chunked=False)
                if path == "/bigchunked":
                    return self.big(int(self.path.split("=")[1]), chunked=True)
                if path == "/endless":
                    return self.big(None, chunked=True)
                if path == "/half":
                    self.send_response(200)
                    self.send_header("Content-Length", str(MB))
                    self.end_headers()
                    self.wfile.write(b"x" * 500000)
                    self.wfile.flush()
                    self.close_connection = True
                    return None
                if path == "/silent":
                    upstream.wait_gone(self.connection)
                    self.close_connection = True
                    return None
                if path == "/garbage":
                    self.wfile.write(b"this is no HTTP\r\n\r\n")
                    self.close_connection = True
                    return None
                if path == "/nothing":
                    self.close_connection = True
                    return None
                if path.startswith("/status/"):
                    return self.plain(int(path.split("/")[2]), b"because")
                return self.plain(200, json.dumps({"method": self.command, "path": self.path, "body": len(body)}).encode())

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_PATCH = answer

            def plain(self, status, body):
                self.send_response(status, "Quite So")
                self.send_header("X-Thing", "one")
                self.send_header("X-Thing", "two")
                self.send_header("Keep-Alive", "timeout=5")
                self.send_header("Content-Type", "application/json")
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status not in (204, 304):
                    self.wfile.write(body)

            def big(self, size, chunked):
                self.send_response(200)
                if chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(size))
                self.end_headers()
                block, left = bytes(range(256)) * 256, size
                try:
                    while left is None or left > 0:
                        piece = block if left is None else block[:left]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                        upstream.sent += len(piece)
                        left = None if left is None else left - len(piece)
                    if chunked:
                        self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    upstream.gone.set()
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_gone(self, connection):
        connection.settimeout(60)
        try:
            if connection.recv(1) == b"":
                self.gone.set()
        except OSError:
            self.gone.set()

    def asked(self):
        """The last request that was not kvass' own."""
        return [s for s in self.seen if not s[2].get("user-agent", "").startswith("kvass/")][-1]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def fake(world):
    upstream = Upstream()
    world.started.append(upstream.stop)
    pair = Beside(world, ["--config.file="], env={"ASAN_OPTIONS": "quarantine_size_mb=1"})  # freed memory counts, otherwise
    pair.prometheus_url = f"http://127.0.0.1:{upstream.port}/"
    pair.start_kvass()
    return upstream, pair


def request(pair, method, path, body=None, headers=None, read=True):
    c = http.client.HTTPConnection("127.0.0.1", pair.api_port, timeout=30)
    c.request(method, path, body=body, headers=headers or {})
    r = c.getresponse()
    if not read:
        return c, r
    data = r.read()
    c.close()
    return r.status, r.reason, [(k.lower(), v) for k, v in r.getheaders()], data


def memory_kb(pair, key="VmRSS"):
    with open(f"/proc/{pair.kvass.pid}/status") as f:
        return int(next(line for line in f if line.startswith(key)).split()[1])


# ------------------------------------------------------------------------------------------------ a real Prometheus


def test_queries_of_a_real_prometheus(world):
    exporter, addresses = world.exporter("--series=2000", listeners=2)
    pair = Beside(world, ["--config.file="], prometheus_options=["--web.enable-remote-write-receiver"])
    pair.start_kvass().start_prometheus()
    text = json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [{"job_name": "a"}]})
    assert pair.push_config(text)[0] == 200
    assert pair.push_targets({"a": [target(a, i) for i, a in enumerate(addresses)]})[0] == 200
    wait_for("both up", 30, lambda: pair.all_up(2))
    wait_for("samples", 30, lambda: len(pair.values("up")) == 2)
    at = time.time()
    form = urllib.parse.urlencode({"query": "count({job=\"a\"}) by (instance)", "start": at - 3, "end": at, "step": "1"})
    both = []
    for url in (pair.url, pair.prometheus_url):
        status, answer = post(url + "/api/v1/query_range", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 200 and answer["data"]["result"]
        both.append(answer)
    assert both[0] == both[1]
    same = ("/api/v1/labels", "/api/v1/query?query=%s&time=%f" % (urllib.parse.quote('up{instance=~".+"} + 0'), at), "/graph",
            "/api/v1/label/__name__/values", "/no/such/path", "/api/v1/query?query=%7B")
    for path in same:
        assert fetch(pair.url + path) == fetch(pair.prometheus_url + path), path
    # what is large and compressed, and federate
    query = "/federate?" + urllib.parse.urlencode({"match[]": '{job="a"}'})
    status, text = fetch(pair.url + query)
    assert status == 200 and text.count("\n") >= 4000
    raw = request(pair, "GET", "/api/v1/series?" + urllib.parse.urlencode({"match[]": '{job="a"}'}), headers={"Accept-Encoding": "gzip"})
    assert dict(raw[2])["content-encoding"] == "gzip"
    import gzip
    assert len(json.loads(gzip.decompress(raw[3]))["data"]) >= 4000
    # remote read: protobuf in snappy, both ways; a wrong body is Prometheus' to refuse
    assert request(pair, "POST", "/api/v1/read", b"\0nonsense", {"Content-Encoding": "snappy"})[0] == 400
    # a remote_read client through us: a querier over the sidecar
    querier = os.path.join(world.directory, "querier.yml")
    write(querier, json.dumps({"remote_read": [{"url": pair.url + "/api/v1/read", "read_recent": True}]}))
    port = free_ports(1)[0]
    p = Process(["prometheus", f"--config.file={querier}", f"--storage.tsdb.path={world.directory}/q", "--log.level=warn",
                 f"--web.listen-address=127.0.0.1:{port}"], os.path.join(world.directory, "querier.log"))
    world.started.append(p.stop)
    wait_for("the querier", 30, lambda: fetch(f"http://127.0.0.1:{port}/-/ready")[0] == 200)
    got = wait_for("4000 series by remote read", 30, lambda: [
        r for r in get_data(f"http://127.0.0.1:{port}/api/v1/query?query=count(%7Bjob%3D%22a%22%2C__name__!~%22scrape_.*%7Cup%22%7D)")["result"]])
    assert float(got[0]["value"][1]) == 4000
    # Prometheus goes away and comes back
    pair.prometheus.stop()
    status, answer = fetch(pair.url + "/api/v1/query?query=1")
    assert status == 502 and json.loads(answer)["errorType"] == "unavailable" and str(pair.prometheus_port) in answer
    assert fetch(pair.url + "/graph")[0] == 502
    pair.start_prometheus()
    assert fetch(pair.url + "/api/v1/query?query=1")[0] == 200


# ------------------------------------------------------------------------------------------------ byte by byte


def test_requests_go_up_as_they_came(fake):
    upstream, pair = fake
    for target_text in ("/x", "/a%2Fb/%7e?q=%zz&r=a+b&s=%20", "/?", "/double//slash/.../x?a=b?c/../d", "/x;y=1?ä".encode().decode("latin-1"), "/p?a#frag"):
        c = socket.create_connection(("127.0.0.1", pair.api_port), timeout=30)
        c.sendall(b"GET " + target_text.encode("latin-1") + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := c.recv(65536):
            answer += piece
        c.close()
        assert answer.startswith(b"HTTP/1.1 200"), (target_text, answer)
        assert upstream.asked()[1].encode("latin-1") == target_text.encode("latin-1")
    headers = {"X-Mine": "yes", "Cookie": "a=b", "Accept": "text/html", "User-Agent": "tester/1", "Authorization": "Basic eDp5", "X-Empty": "",
               "Connection": "X-Hop, close", "X-Hop": "1", "TE": "trailers", "Proxy-Authorization": "Basic eDp5", "Upgrade": "h2c"}
    for method, body in (("GET", None), ("POST", b"a=1"), ("PUT", b"x" * 100000), ("DELETE", None), ("PATCH", b"p"), ("OPTIONS", None),
                         ("POST", b""), ("DELETE", b"with a body")):
        status, reason, got, data = request(pair, method, "/t?m=1", body, headers)
        assert (status, reason) == (200, "Quite So")
        answered = json.loads(data)
        assert (answered["method"], answered["path"], answered["body"]) == (method, "/t?m=1", len(body or b""))
        up = upstream.asked()
        assert up[3] == (body or b"")
        for name in ("x-mine", "cookie", "accept", "user-agent", "authorization"):
            assert up[2][name] == {k.lower(): v for k, v in headers.items()}[name]
        assert up[2]["x-empty"] == "" and up[2]["host"] == f"127.0.0.1:{upstream.port}"
        for name in ("x-hop", "te", "proxy-authorization", "upgrade", "expect", "keep-alive"):
            assert name not in up[2], name
        assert "content-type" not in up[2]  # none was given, none is made up
    assert [v for k, v in got if k.lower() == "x-thing"] == ["one", "two"]
    assert not [k for k, v in got if k.lower() == "keep-alive"] and len([k for k, v in got if k.lower() == "date"]) == 1


def test_statuses_and_answers_without_a_body(fake):
    upstream, pair = fake
    for status in (200, 201, 204, 301, 304, 400, 404, 422, 500, 503):
        got = request(pair, "GET", f"/status/{status}")
        assert (got[0], got[1]) == (status, "Quite So"), got
        assert got[3] == (b"" if status in (204, 304) else b"because")
    status, _, headers, data = request(pair, "HEAD", "/x")
    assert status == 200 and data == b"" and int(dict(headers)["content-length"]) > 0
    assert upstream.asked()[0] == "HEAD"
    # a kept connection serves one after the other
    c = http.client.HTTPConnection("127.0.0.1", pair.api_port, timeout=30)
    for path in ("/x", "/-/healthy", "/status/404", "/bigchunked?n=300000", "/x"):
        c.request("GET", path)
        r = c.getresponse()
        assert r.read() is not None and r.status in (200, 404)
    c.close()


def test_large_answers_stream(fake):
    upstream, pair = fake
    before = memory_kb(pair)
    for path in ("/big?n=", "/bigchunked?n="):
        size = 300 * MB + 17
        c, r = request(pair, "GET", path + str(size), read=False)
        total = 0
        while piece := r.read(MB):
            assert piece[:16] == bytes((total + i) % 256 for i in range(16))
            total += len(piece)
        c.close()
        assert total == size
    assert memory_kb(pair, "VmHWM") - before < 16 * 1024
    # a reader that does not read holds the source back
    upstream.sent = 0
    c, r = request(pair, "GET", "/endless", read=False)
    r.read(1000)
    wait_for("the source to stand still", 30, lambda: (lambda a: time.sleep(1) or upstream.sent == a)(upstream.sent))
    assert upstream.sent < 64 * MB and memory_kb(pair) - before < 16 * 1024
    assert not upstream.gone.is_set()
    c.close()
    assert upstream.gone.wait(30)


def test_a_client_that_hangs_up_cancels(fake):
    upstream, pair = fake
    c = socket.create_connection(("127.0.0.1", pair.api_port))
    c.sendall(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for("the request above", 10, lambda: upstream.asked()[1] == "/silent")
    assert not upstream.gone.is_set()
    c.close()
    assert upstream.gone.wait(30)


def test_what_breaks_is_not_ended_cleanly(fake):
    upstream, pair = fake
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        request(pair, "GET", "/half")
    for path in ("/garbage", "/nothing"):
        status, _, headers, data = request(pair, "GET", path)
        assert status == 502 and b"Prometheus at" in data and dict(headers)["content-type"].startswith("text/plain")
    assert request(pair, "GET", "/x")[0] == 200


def test_the_url_may_have_a_path_and_credentials(world):
    upstream = Upstream()
    world.started.append(upstream.stop)
    pair = Beside(world, ["--config.file="])
    pair.prometheus_url = f"http://me:hidden@127.0.0.1:{upstream.port}/prom/"
    pair.start_kvass()
    assert request(pair, "GET", "/api/v1/query?query=up")[0] == 200
    assert upstream.asked()[1] == "/prom/api/v1/query?query=up"
    assert upstream.asked()[2]["authorization"] == "Basic " + base64.b64encode(b"me:hidden").decode()
    upstream.stop()
    status, _, _, data = request(pair, "GET", "/api/v1/query?query=up")
    assert status == 502 and b"hidden" not in data
    wait_for("trouble in the log", 20, lambda: "shard health" in pair.kvass.output())
    assert "hidden" not in pair.kvass.output() and "hidden" not in json.dumps(pair.info())


def test_an_orderly_end_with_answers_under_way(fake):
    upstream, pair = fake
    c = socket.create_connection(("127.0.0.1", pair.api_port))
    c.sendall(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for("the request above", 10, lambda: upstream.asked()[1] == "/silent")
    assert pair.kvass.stop() == 0
    assert upstream.gone.wait(30)
    c.close()


# ------------------------------------------------------------------------------------------------ who may


def test_tls_and_credentials_guard_everything_but_health(world):
    d = world.directory
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{d}/key.pem", "-out", f"{d}/cert.pem"],
                   check=True, capture_output=True)
    write(f"{d}/web.yml", json.dumps({"tls_server_config": {"cert_file": "cert.pem", "key_file": "key.pem"}}))
    write(f"{d}/tokens", "first-token\n")
    upstream = Upstream()
    world.started.append(upstream.stop)
    pair = Beside(world, ["--config.file=", f"--web.config.file={d}/web.yml", f"--web.token-file={d}/tokens"])
    pair.prometheus_url = f"http://127.0.0.1:{upstream.port}"
    pair.start_kvass(wait=False)
    context = ssl.create_default_context(cafile=f"{d}/cert.pem")

    def ask(path, method="GET", token=None):
        r = urllib.request.Request(f"https://127.0.0.1:{pair.api_port}{path}", method=method, data=b"{}" if method == "POST" else None,
                                   headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(r, context=context, timeout=10) as a:
                return a.status
        except urllib.error.HTTPError as e:
            return e.code

    wait_for("the API", 30, lambda: ask("/-/healthy") == 200)
    assert ask("/-/ready") == 503
    own = ["/api/v1/shard/runtimeinfo/", "/api/v1/shard/targets/", "/api/v1/status/config/", "/metrics", "/api/v1/query", "/", "/-/quit"]
    upstream.seen.clear()
    for path in own:
        assert ask(path) == 401 and ask(path, token="wrong") == 401, path
    for path in ("/api/v1/shard/targets/", "/api/v1/status/config/", "/api/v1/status/extra_config/", "/-/reload", "/-/quit", "/-/healthy"):
        assert ask(path, "POST") == 401, path
    assert not [s for s in upstream.seen if not s[2].get("user-agent", "").startswith("kvass/")]  # nothing got through
    for path in own:
        assert ask(path, token="first-token") == 200, path
    assert "authorization" not in upstream.asked()[2]  # our token is not Prometheus' business
