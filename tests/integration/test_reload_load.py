"""Scrapes at full speed while the configuration is reloaded again and again: no scrape fails, nothing crashes. With a build for
ThreadSanitizer this is where workers, control thread and API meet."""
import glob
import gzip
import http.client
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Appliance, config, http as http_call, static_job, wait_for, write

RELOADS, CLIENTS = 12, 3
BODY = b"".join(b'load_metric_%d{path="/x/%d",code="200"} %d\n' % (i % 20, i, i) for i in range(400))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        packed = "gzip" in self.headers.get("Accept-Encoding", "") and self.path != "/plain"
        body = gzip.compress(BODY, 1) if packed else BODY
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Client(threading.Thread):
    """One kept connection, as Prometheus has it."""

    def __init__(self, port, urls):
        super().__init__(daemon=True)
        self.port, self.urls, self.done, self.scrapes, self.wrong = port, urls, threading.Event(), 0, []

    def run(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.done.is_set() and not self.wrong:
            url = self.urls[self.scrapes % len(self.urls)]
            try:
                conn.request("GET", url, headers={"X-Prometheus-Scrape-Timeout-Seconds": "30", "User-Agent": "Prometheus/load"})
                answer = conn.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as e:
                self.wrong.append(repr(e))
                return
            if answer.status != 200 or text != BODY:
                self.wrong.append((answer.status, text[:200]))
            self.scrapes += 1
        conn.close()


def jobs(addresses, number):
    """The same targets each time, with other client settings, rules and figures; every second time a job more."""
    rules = [{"source_labels": ["__name__"], "regex": f"load_metric_{number % 20}", "action": "drop"},
             {"source_labels": ["code"], "regex": "5..", "action": "drop"}]
    more = {"authorization": {"credentials": f"secret-{number}"}} if number % 3 == 0 else {"basic_auth": {"username": f"u{number}", "password": "p"}}
    found = [static_job("steady", addresses, metric_relabel_configs=rules[:number % 3], sample_limit=1000 + number, **more)]
    if number % 2 == 1:
        found.append(static_job(f"passing-{number}", addresses[:1], metrics_path="/plain"))
    return config(found)


def test_reloads_under_load(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    addresses = [f"{host}:{server.server_port}" for host in ("127.0.0.1", "localhost")]  # the second by the resolver's thread
    path = str(tmp_path / "prometheus.yml")
    write(path, jobs(addresses, 0))
    kvass = Appliance(str(tmp_path), path, ["--coordinator.interval=500ms", "--proxy.threads=2"], shards_max=1)
    clients = []
    try:
        kvass.wait_ready()
        lists = os.path.join(kvass.store, "shards", "*", "targets", "steady.json")

        def urls():
            found = [json.load(open(p)) for p in glob.glob(lists)]
            groups = found[0] if found else []
            return len(groups) == len(addresses) and [
                f"http://{g['targets'][0]}{g['labels']['__metrics_path__']}?_hash={g['labels']['__param__hash']}&_jobName=steady&_scheme=http"
                f"&_shard={g['labels']['__param__shard']}" for g in groups]

        found = wait_for("the targets", 90, urls)
        clients = [Client(kvass.ports[1], found) for _ in range(CLIENTS)]
        for c in clients:
            c.start()
        for number in range(1, RELOADS + 1):
            before = [c.scrapes for c in clients]
            write(path, jobs(addresses, number))
            status, text = http_call(kvass.url + "/-/reload", "POST", timeout=60)
            assert status == 200, text
            http_call(kvass.url + "/metrics")
            http_call(kvass.url + "/api/v1/targets?state=active")
            wait_for("scrapes after the reload", 60, lambda: any(c.wrong for c in clients) or all(
                c.scrapes > b + 2 for c, b in zip(clients, before)), 0.05)
            assert not any(c.wrong for c in clients), ([c.wrong for c in clients], kvass.output()[-2000:])
    finally:
        for c in clients:
            c.done.set()
        for c in clients:
            c.join(60)
        status = kvass.stop()
        server.shutdown()
    assert not any(c.wrong for c in clients), [c.wrong for c in clients]
    assert status == 0 and "ThreadSanitizer" not in kvass.output(), kvass.output()[-6000:]
