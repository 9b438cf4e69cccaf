"""A Prometheus and a kvass that discover with the same configuration, and servers they discover from."""
import http.server
import json
import os
import socketserver
import subprocess
import threading
import time

from harness import KVASS, PATIENCE, Prometheus, get_data, http as call, wait_for


class Server:
    """An HTTP server in a thread: answer(request) gives (status, headers, body). request: the headers, with :method, :path
    and :peer. On a TCP port of its own, or on a unix socket."""

    def __init__(self, answer, unix_path=None):
        server = self
        self.answer_of = answer

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                request = dict(self.headers.items())
                request.update({":method": self.command, ":path": self.path, ":peer": str(self.client_address)})
                status, headers, body = server.answer_of(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # the client went away

        class Unix(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        class Tcp(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.http = Unix(unix_path, Handler) if unix_path else Tcp(("127.0.0.1", 0), Handler)
        if not unix_path:
            self.port = self.http.server_address[1]
            self.address = f"127.0.0.1:{self.port}"
            self.url = f"http://{self.address}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def check_sd(config_path, job, timeout="20s", env=None, options=(), prefix=()):
    """Exit status, output and messages of kvass check service-discovery."""
    r = subprocess.run([*prefix, KVASS, "check", "service-discovery", f"--timeout={timeout}", *options, config_path, job],
                       capture_output=True, text=True, timeout=60 * PATIENCE, env={**os.environ, **(env or {})})
    return r.returncode, r.stdout, r.stderr


def normal(targets):
    return sorted((t["discoveredLabels"] for t in targets), key=lambda labels: json.dumps(labels, sort_keys=True))


class Twin:
    """Both with `jobs`; with appliance=False kvass is only the command."""

    def __init__(self, world, jobs, appliance=True, options=(), interval="1d"):
        self.world = world
        world.configure(jobs, interval=interval)
        self.config_path = os.path.join(world.directory, "prometheus.yml")
        self.prometheus = world.keep(Prometheus(os.path.join(world.directory, "oracle"), self.config_path))
        self.kvass = world.appliance("--target.grace=0s", *options) if appliance else None
        self.prometheus.wait_ready()
        if appliance:
            self.kvass.wait_ready()

    def prometheus_targets(self, job):
        data = get_data(self.prometheus.url + f"/api/v1/targets?scrapePool={job}")
        return {"active": normal(t for t in data["activeTargets"] if t["scrapePool"] == job),
                "dropped": normal(data["droppedTargets"])}

    def kvass_targets(self, job):
        data = self.kvass.get(f"/api/v1/targets?scrapePool={job}")  # which names no job of dropped ones
        return {"active": normal(t for t in data["activeTargets"] if t["scrapePool"] == job),
                "dropped": normal(t for t in data["droppedTargets"] if t["discoveredLabels"]["job"] == job)}

    def command_targets(self, job):
        code, out, err = check_sd(self.config_path, job)
        assert code == 0, err
        found = json.loads(out)
        return {"active": normal(t for t in found if t["labels"]), "dropped": normal(t for t in found if not t["labels"])}

    def settle(self, job, other_than=None, until=None, command=True, seconds=100):
        """What Prometheus lists once kvass, running and as a command, lists the same; `other_than` and `until` say which
        state is waited for."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            theirs = self.prometheus_targets(job)
            wanted = until(theirs) if until else theirs != other_than and theirs["active"] + theirs["dropped"] != []
            ours = self.kvass_targets(job) if self.kvass else theirs
            said = None
            if wanted and ours == theirs:
                said = self.command_targets(job) if command else theirs
            if said == theirs:
                return theirs
            assert time.monotonic() < deadline, f"Prometheus: {theirs}\nkvass: {ours}\ncommand: {said}"
            time.sleep(0.3)

    def metrics(self):
        return call(self.kvass.url + "/metrics")[1]
