"""Stand-ins for sidecars, scripted: a Go one (opaque ConfigHash, no generations, 64-bit hashes) and ours on the wire, with
faults to switch on. They scrape nothing: time passes by counting reads."""
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeSidecar:
    """kind "go" or "kvass". `targets` is {job: [target]} as last pushed; every reading of statuses is one scrape of each."""

    def __init__(self, kind="go", port=0, series=100, file_mode=False, config_hash="0"):
        self.kind, self.series, self.file_mode, self.config_hash = kind, series, file_mode, config_hash
        self.targets, self.scrapes, self.down = {}, {}, set()
        self.generation = self.epoch = self.config_generation = 0
        self.stop_reason, self.config = "", ""
        self.memory = {}  # of runtimeinfo: residentBytes, residentSeries, processStartAt
        self.pushes, self.requests, self.headers = [], [], []
        self.fault = None  # "garbage", "huge", "slow", 401, 500, "wrong-type"
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.handle(self, "GET", b"")

            def do_POST(self):
                outer.handle(self, "POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def hashes(self):
        return {t["hash"] for ts in self.targets.values() for t in ts}

    # -- HTTP

    def handle(self, h, method, body):
        path = h.path.split("?")[0].rstrip("/")
        if self.server is None:  # ended: connections that were open end as well
            h.close_connection = True
            return
        with self.lock:
            self.requests.append((method, h.path))
            self.headers.append(dict(h.headers))
        if self.fault is not None and self.break_answer(h, self.fault):
            return
        with self.lock:
            status, answer = self.answer(method, path, h, body)
        self.send(h, status, json.dumps(answer).encode())

    @staticmethod
    def send(h, status, body):
        try:
            h.send_response(status)
            h.send_header("Content-Type", "application/json")
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            h.wfile.write(body)
        except OSError:
            pass

    def break_answer(self, h, fault):
        if fault == "slow":
            time.sleep(8)
            return False
        bodies = {"garbage": b"\x00\xff{]not json", "wrong-type": b'{"status":"success","data":{"headSeries":"many"}}',
                  "huge": b'{"status":"success","data":{"x":"' + b"y" * (300 << 20) + b'"}}'}
        if fault in bodies:
            self.send(h, 200, bodies[fault])
        else:
            self.send(h, fault, b'{"status":"error","errorType":"internal","error":"no"}')
        return True

    def answer(self, method, path, h, body):
        ok = lambda data=None: (200, {"status": "success", **({} if data is None else {"data": data})})
        if path == "/api/v1/shard/runtimeinfo":
            return ok(self.runtimeinfo())
        if path in ("/api/v1/shard/targets", "/api/v1/shard/targets/status") and method == "GET":
            if self.kind == "kvass" and "full=true" in h.path:
                return ok({"Targets": self.targets})
            return ok(self.statuses())
        if path == "/api/v1/status/extra_config":
            if method == "POST":
                self.stop_reason = json.loads(body).get("stopScrapeReason", "")
                return ok()
            return ok({"json": json.dumps({"stopScrapeReason": self.stop_reason})})
        if method == "POST":
            return self.push(path, h, json.loads(body), ok)
        return 404, {"status": "error", "errorType": "not_found", "error": "no such path"}

    def push(self, path, h, data, ok):
        epoch = int(h.headers.get("X-Kvass-Epoch", "0"))
        if self.kind == "kvass":
            if epoch < self.epoch:
                return 409, {"status": "error", "errorType": "conflict", "error": f"epoch {epoch} is older than {self.epoch}"}
            self.epoch = epoch
        if path == "/api/v1/status/config":
            if self.file_mode:
                return 400, {"status": "error", "errorType": "bad_data", "error": "config.file is set"}
            self.pushes.append(("config", time.monotonic()))
            self.config, self.config_hash = data["rawContent"], str(int(self.config_hash or 0) + 17)
            self.config_generation = data.get("generation", 0)
            return ok()
        self.pushes.append(("targets", time.monotonic()))
        self.targets = data["Targets"]
        self.scrapes = {k: v for k, v in self.scrapes.items() if k in self.hashes()}
        self.generation = data.get("generation", 0)
        return ok()

    def runtimeinfo(self):
        total = self.series * len(self.hashes())
        data = {"headSeries": total, "processSeries": total, "ConfigHash": self.config_hash}
        if self.kind == "kvass":
            data.update(self.memory, generation=self.generation, epoch=self.epoch, configGeneration=self.config_generation)
        return data

    def statuses(self):
        out = {}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).replace("Z", f".{int(time.time() * 1000) % 1000:03d}Z")
        for targets in self.targets.values():
            for t in targets:
                n = self.scrapes[t["hash"]] = self.scrapes.get(t["hash"], 0) + 1
                health = "down" if t["hash"] in self.down else "up"
                out[str(t["hash"])] = {"lastError": "", "lastScrape": now, "lastScrapeDuration": 0.01, "health": health,
                                       "series": self.series, "totalSeries": self.series, "TargetState": t["TargetState"],
                                       "ScrapeTimes": n, "shards": []}
        return out
