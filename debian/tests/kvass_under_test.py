"""What the autopkgtests share: small exporters with an exact number of series, bounded waits, HTTP, and the installed program."""
import http.server
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SERVER = "http://127.0.0.1:9089"
YAML = "/etc/kvass/kvass.yaml"


class Exporter:
    """Serves `series` series; `hold` makes every answer take that many seconds."""

    def __init__(self, series, hold=0.0):
        body = "".join(f'load_total{{i="{i}"}} {i}\n' for i in range(series)).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                time.sleep(hold)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that went away
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def wait_for(what, seconds, condition):
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                print(f"ok: {what}", flush=True)
                return last
        except (OSError, ValueError, KeyError, IndexError, subprocess.CalledProcessError) as e:
            last = e
        time.sleep(0.2)
    raise SystemExit(f"FAILED: waited {seconds} s for {what}; last: {last!r}")


def check(what, ok, seen=""):
    if not ok:
        raise SystemExit(f"FAILED: {what}: {seen}")
    print(f"ok: {what}", flush=True)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def query(url, expression):
    """[(labels, value)] of an instant query; a range selector gives [(labels, [[time, value], ...])]."""
    status, text = get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    if status != 200:
        raise ValueError(text)
    return [(r["metric"], r.get("values") or r["value"][1]) for r in json.loads(text)["data"]["result"]]


def kvass(*arguments):
    return subprocess.run(["kvass", *arguments], check=True, capture_output=True, text=True).stdout


def shards(server):
    return json.loads(kvass("get", "shards", "-o", "json", f"--server={server}"))["data"]["shards"]


def targets(server):
    return json.loads(kvass("get", "targets", "-o", "json", f"--server={server}"))["data"]["activeTargets"]


def spread(server, count):
    """The shards, once `count` targets are up with one owner each and every shard is ready; else None."""
    found, all_shards = targets(server), shards(server)
    ok = len(found) == count and all(t["health"] == "up" and len(t["shards"]) == 1 for t in found)
    return all_shards if ok and all(s["health"] == "ready" for s in all_shards) else None


# What only a machine with systemd has.

def systemctl(*arguments, ok=True):
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True)
    if ok and done.returncode != 0:
        subprocess.run(["journalctl", "--no-pager", "-n", "40"])
        raise SystemExit(f"FAILED: systemctl {arguments}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def main_pid(unit):
    return int(systemctl("show", "-P", "MainPID", unit))


def ready():
    return wait_for("kvass to be ready", 60, lambda: get(f"{SERVER}/-/ready")[0] == 200)


def set_options(**options):
    with open(YAML) as f:
        text = f.read()
    for name, value in options.items():
        key = name.replace("__", "-").replace("_", ".")
        text, count = re.subn(rf"(?m)^#?{re.escape(key)}: .*$", f"{key}: {value}", text, count=1)
        check(f"{key} is in {YAML}", count == 1)
    with open(YAML, "w") as f:
        f.write(text)
    kvass("config", "check")
