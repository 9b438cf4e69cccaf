"""Client settings of scrape jobs against real servers (nginx with client certificates, tinyproxy), with Prometheus as the oracle:
the same job scraped directly and through kvass has the same outcome."""
import base64
import glob
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest
from harness import PATIENCE, Prometheus, Process, config, free_ports, get_data, http as http_call, query, static_job, wait_for, write


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(d):
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{d}/{name}.key",
                "-out", f"{d}/{name}.crt")
    for name, alt in (("server", "DNS:metrics.example,IP:127.0.0.1"), ("client", "DNS:client")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{d}/{name}.key", "-out", f"{d}/{name}.csr")
        write(f"{d}/{name}.ext", f"subjectAltName={alt}\n")
        openssl("x509", "-req", "-in", f"{d}/{name}.csr", "-CA", f"{d}/ca.crt", "-CAkey", f"{d}/ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{d}/{name}.ext", "-out", f"{d}/{name}.crt")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=legacy.example", "-keyout", f"{d}/legacy.key", "-out", f"{d}/legacy.csr")
    openssl("x509", "-req", "-in", f"{d}/legacy.csr", "-CA", f"{d}/ca.crt", "-CAkey", f"{d}/ca.key", "-CAcreateserial", "-days", "2",
            "-out", f"{d}/legacy.crt")


NGINX = """daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 200; }}
http {{
    log_format f "$server_protocol $uri $status"; access_log {d}/access.log f; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
    ssl_certificate {d}/server.crt; ssl_certificate_key {d}/server.key; default_type "text/plain; version=0.0.4";
    root {d}/www;
    server {{ listen 127.0.0.1:{tls} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; }}
    server {{ listen 127.0.0.1:{mutual} ssl; ssl_client_certificate {d}/ca.crt; ssl_verify_client on; }}
    server {{ listen 127.0.0.1:{legacy} ssl; ssl_certificate {d}/legacy.crt; ssl_certificate_key {d}/legacy.key; }}
    server {{ listen 127.0.0.1:{new} ssl; ssl_protocols TLSv1.3; }}
    server {{ listen 127.0.0.1:{plain}; location = /moved {{ return 302 https://127.0.0.1:{tls}/metrics; }}
              location = /around {{ return 301 /around; }} location = /near {{ return 307 /metrics; }} }}
}}
"""
TINYPROXY = 'Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nPidFile "{d}/tiny.pid"\nLogFile "{d}/tiny.log"\nBasicAuth user pass\n'


def servers(world):
    d = os.path.join(world.directory, "servers")
    os.makedirs(d + "/www")
    make_certificates(d)
    write(d + "/www/metrics", "".join(f'm{{i="{i}"}} {i}\n' for i in range(40)))
    os.chmod(world.directory, 0o755)
    names = ["tls", "mutual", "new", "plain", "proxy", "dead", "legacy"]
    ports = dict(zip(names, free_ports(len(names))))
    write(d + "/nginx.conf", ("" if os.geteuid() else "user root; ") + NGINX.format(d=d, **ports))
    nginx = Process(["nginx", "-c", d + "/nginx.conf"], d + "/nginx.log")
    world.started.append(nginx.stop)
    wait_for("nginx", 20, lambda: http_call(f"http://127.0.0.1:{ports['plain']}/metrics")[0] == 200)
    if shutil.which("tinyproxy"):
        write(d + "/tiny.conf", TINYPROXY.format(port=ports["proxy"], d=d))
        tiny = Process(["tinyproxy", "-d", "-c", d + "/tiny.conf"], d + "/tiny.out")
        world.started.append(tiny.stop)
        wait_for("tinyproxy", 20, lambda: http_call(f"http://127.0.0.1:{ports['proxy']}/")[0] >= 400)
    return d, ports


class Tokens(http.server.BaseHTTPRequestHandler):
    """A token endpoint and places that send to it: /<status>/<host>/<path> redirects."""
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def take(self):
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        words = self.path.split("/")
        if words[1] in ("301", "302", "307", "308"):
            self.answer(int(words[1]), Location=f"http://{words[2]}:{self.server.server_port}/{words[3]}")
            return
        known = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"id:sec").decode() or b"client_secret=sec" in form
        good = known if self.path == "/any" else known and self.command == "POST" and b"grant_type=client_credentials" in form
        self.answer(200 if good else 401, json.dumps({"access_token": "tok", "token_type": "Bearer"}).encode() if good else b"{}",
                    **{"Content-Type": "application/json"})

    do_GET = do_POST = take

    def log_message(self, *_):
        pass


def oauth2_jobs():
    """{name: (token path, up)}"""
    return {"token": ("token", 1), "token kept": ("307/127.0.0.1/token", 1), "token kept, other host": ("308/localhost/token", 1),
            "token as a GET": ("302/127.0.0.1/any", 1), "token as a GET, other host": ("301/localhost/any", 0),
            "token for a POST only": ("302/127.0.0.1/token", 0)}


def make_jobs(d, ports, exporter, tokens):
    """{name: (job, up)}"""
    tls = {"scheme": "https"}
    ca = {"ca_file": d + "/ca.crt"}
    cert = {"cert_file": d + "/client.crt", "key_file": d + "/client.key"}
    write(d + "/password", "p\n")
    write(d + "/token", " tok \n")
    wants = {"basic": "Basic dTpw", "bearer": "Bearer tok", "token": "Token tok"}
    at = {k: [f"127.0.0.1:{p}"] for k, p in ports.items()}
    proxy = f"http://user:pass@127.0.0.1:{ports['proxy']}"
    jobs = {
        "ca": ("tls", {**tls, "tls_config": ca}, 1),
        "no ca": ("tls", tls, 0),
        "wrong ca": ("tls", {**tls, "tls_config": {"ca_file": d + "/other.crt"}}, 0),
        "insecure": ("tls", {**tls, "tls_config": {"insecure_skip_verify": True}}, 1),
        "http 1.1": ("tls", {**tls, "tls_config": ca, "enable_http2": False}, 1),
        "server name": ("tls", {**tls, "tls_config": {**ca, "server_name": "metrics.example"}}, 1),
        "wrong server name": ("tls", {**tls, "tls_config": {**ca, "server_name": "other.example"}}, 0),
        "common name only": ("legacy", {**tls, "tls_config": {**ca, "server_name": "legacy.example"}}, 0),
        "common name only, insecure": ("legacy", {**tls, "tls_config": {"insecure_skip_verify": True}}, 1),
        "max version": ("new", {**tls, "tls_config": {**ca, "max_version": "TLS12"}}, 0),
        "min version": ("new", {**tls, "tls_config": {**ca, "min_version": "TLS13"}}, 1),
        "client certificate": ("mutual", {**tls, "tls_config": {**ca, **cert}}, 1),
        "no client certificate": ("mutual", {**tls, "tls_config": ca}, 0),
        "http to https": ("tls", {"tls_config": ca}, 0),
        "redirect": ("plain", {"metrics_path": "/near"}, 1),
        "redirect to https": ("plain", {"metrics_path": "/moved", "tls_config": ca}, 1),
        "redirect not followed": ("plain", {"metrics_path": "/near", "follow_redirects": False}, 0),
        "round and round": ("plain", {"metrics_path": "/around"}, 0),
        "dead proxy": ("plain", {"proxy_url": f"http://127.0.0.1:{ports['dead']}"}, 0),
    }
    if shutil.which("tinyproxy"):
        jobs["proxy"] = ("plain", {"proxy_url": proxy}, 1)
        jobs["proxy without password"] = ("plain", {"proxy_url": proxy.replace("user:pass@", "")}, 0)
        jobs["tunnel"] = ("tls", {**tls, "tls_config": ca, "proxy_url": proxy}, 1)
        jobs["redirect into a tunnel"] = ("plain", {"metrics_path": "/moved", "tls_config": ca, "proxy_url": proxy}, 1)
    made = {name: (static_job(name, at[where], **keys), up) for name, (where, keys, up) in jobs.items()}
    asks = {
        "basic": ({"basic_auth": {"username": "u", "password": "p"}}, "basic", 1),
        "basic file": ({"basic_auth": {"username": "u", "password_file": d + "/password"}}, "basic", 1),
        "basic wrong": ({"basic_auth": {"username": "u", "password": "q"}}, "basic", 0),
        "basic no file": ({"basic_auth": {"username": "u", "password_file": d + "/none"}}, "basic", 0),
        "bearer": ({"bearer_token": "tok"}, "bearer", 1),
        "bearer file": ({"bearer_token_file": d + "/token"}, "bearer", 1),
        "authorization": ({"authorization": {"credentials_file": d + "/token"}}, "bearer", 1),
        "authorization type": ({"authorization": {"type": "Token", "credentials": "tok"}}, "token", 1),
        "none": ({}, "bearer", 0),
    }
    for name, (path, up) in oauth2_jobs().items():
        asks[name] = ({"oauth2": {"client_id": "id", "client_secret": "sec", "token_url": f"http://127.0.0.1:{tokens}/{path}"}}, "bearer", up)
    for name, (keys, want, up) in asks.items():
        made[name] = (static_job(name, exporter, params={"authorization": [wants[want]]}, **keys), up)
    return made


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_each_setting_ends_as_in_prometheus(world):
    d, ports = servers(world)
    _, exporter = world.exporter("--series=40")
    tokens = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    world.started.append(tokens.shutdown)
    jobs = make_jobs(d, ports, exporter, tokens.server_port)
    world.configure([job for job, _ in jobs.values()], interval="3s")
    direct = Prometheus(os.path.join(world.directory, "direct"), os.path.join(world.directory, "prometheus.yml"))
    world.started.append(direct.stop)
    direct.wait_ready()
    kvass = world.appliance("--shard.max-series=60000").wait_ready()
    want = {name: str(up) for name, (_, up) in jobs.items()}

    def ups(url):
        return {m["job"]: v for m, v in query(url, "up")}

    wait_for("Prometheus' own verdicts", 60, lambda: ups(direct.url) == want)
    wait_for("all placed", 60, lambda: kvass.shards() and all(t["shards"] for t in kvass.targets()) and len(kvass.targets()) == len(jobs))
    through = kvass.shards()[0]["prometheusUrl"]
    try:
        wait_for("the same through kvass", 60, lambda: ups(through) == want)
    finally:
        print({k: (v, next((t["lastError"] for t in kvass.targets(k)), "")) for k, v in ups(through).items() if v != want[k]})
    samples = {m["job"]: v for m, v in query(through, "scrape_samples_scraped") if want[m["job"]] == "1"}
    assert samples == {m["job"]: v for m, v in query(direct.url, "scrape_samples_scraped") if want[m["job"]] == "1"}
    # Files are read again when they change, and certificates with them.
    write(d + "/token", "new")
    wait_for("the changed token to be refused", 60, lambda: ups(through)["bearer file"] == "0" and ups(direct.url)["bearer file"] == "0")
    write(d + "/token", "tok")
    shutil.copy(d + "/ca.crt", d + "/ca.kept")
    shutil.copy(d + "/other.crt", d + "/ca.new")
    os.rename(d + "/ca.new", d + "/ca.crt")
    wait_for("the changed CA to be refused", 60, lambda: ups(through)["http 1.1"] == "0" or ups(through)["ca"] == "0")
    os.rename(d + "/ca.kept", d + "/ca.crt")
    wait_for("all as before", 60, lambda: ups(through) == want)


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_a_slow_reader_of_http2(world):
    """30 MB by HTTP/2 for a client that stops reading: flow control holds the target back, memory stays, other scrapes of the same
    server go on, and in the end every byte has come."""
    d, ports = servers(world)
    write(d + "/www/large", "".join(f'large{{i="{i:060d}"}} {i}\n' for i in range(400000)))
    size = os.path.getsize(d + "/www/large")
    job = {"scheme": "https", "tls_config": {"ca_file": d + "/ca.crt"}}
    address = [f"127.0.0.1:{ports['tls']}"]
    world.configure([static_job("large", address, metrics_path="/large", scrape_interval="1h", scrape_timeout="5m", **job),
                     static_job("small", address, **job)])
    # Freed memory counts, in sanitizer builds too.
    kvass = world.appliance("--shard.max-series=2000000", "--proxy.threads=1", env={"ASAN_OPTIONS": "quarantine_size_mb=1"}).wait_ready()

    def found():
        lists = {os.path.basename(p): json.load(open(p)) for p in glob.glob(f"{kvass.store}/shards/*/targets/*.json")}
        return lists.get("large.json") and lists.get("small.json") and lists["large.json"][0]

    group = wait_for("the targets", 60, found)
    wait_for("both explored", 60, lambda: all(t["health"] == "up" for t in kvass.targets()) and len(kvass.targets()) == 2)
    labels = group["labels"]
    url = (f"http://127.0.0.1:{ports['tls']}/large?_hash={labels['__param__hash']}&_jobName=large&_scheme=https"
           f"&_shard={labels['__param__shard']}")
    before = resident_kb(kvass.pid)
    client = socket.create_connection(("127.0.0.1", kvass.ports[1]), timeout=60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: 280\r\n\r\n".encode())
    got = client.recv(1000)
    through = kvass.shards()[0]["prometheusUrl"]

    def small_scrapes():
        return sum(float(v) for m, v in query(through, "count_over_time(up[1h])") if m["job"] == "small" and query(through, "up{job='small'}")[0][1] == "1")

    seen = wait_for("scrapes beside it", 60, small_scrapes)
    wait_for("more scrapes beside it", 60, lambda: small_scrapes() >= seen + 4)
    assert resident_kb(kvass.pid) < before + 8192 * PATIENCE, "the body is held in memory"
    while True:
        piece = client.recv(1 << 20)
        if not piece:
            break
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    if b"chunked" in head.lower():
        whole, at = b"", 0
        while True:
            end = body.index(b"\r\n", at)
            length = int(body[at:end], 16)
            if length == 0:
                break
            whole += body[end + 2:end + 2 + length]
            at = end + 4 + length
        body = whole
    assert len(body) == size and body == open(d + "/www/large", "rb").read()
    with open(d + "/access.log") as f:
        assert "HTTP/2.0 /large 200\n" in f.read()
    assert all(t["health"] == "up" for t in get_data(kvass.url + "/api/v1/targets?state=active")["activeTargets"])
