#!/usr/bin/python3
"""What a change of the target list costs the targets that stay: static_configs with a reload against a file that Prometheus watches.

  bench/reload_forms.py [--prometheus=BINARY] [--targets=60] [--scrape=1.5] [--interval=5] [--changes=4]

Slow targets (a scrape takes --scrape seconds of --interval) are scraped by one Prometheus per form; every few intervals one target joins or
leaves, told by an edit of static_configs and a reload, or by a new target file. Afterwards the targets that were there all the time
are asked for: scrapes missed (samples further apart than one and a half intervals), how many were invisible to an instant query at
any time (stale markers), the most seconds one of them was, and how often their series were new to the scrape loop again. Prints one JSON object."""
import argparse
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request


def serve(scrape_s):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(scrape_s)
            body = b"# TYPE m gauge\nm 1\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # a reload or the end
                pass

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:%d" % server.server_address[1]


def write(path, value):
    with open(path + ".new", "w") as f:
        json.dump(value, f)
    os.rename(path + ".new", path)


class Run:
    """One Prometheus with its targets told in one form."""

    def __init__(self, form, options, address, folder):
        self.form, self.options, self.address, self.folder = form, options, address, folder
        os.makedirs(folder)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = "http://127.0.0.1:%d" % s.getsockname()[1]
        self.reload_s = []
        self.tell(options.targets, first=True)
        self.process = subprocess.Popen(
            [options.prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             "--web.listen-address=" + self.url[7:], "--web.enable-lifecycle", "--log.level=error"])

    def groups(self, count):
        return [{"targets": [self.address], "labels": {"instance": str(i)}} for i in range(count)]

    def tell(self, count, first=False):
        job = {"job_name": "j"}
        if self.form == "static":
            job["static_configs"] = self.groups(count)
        else:
            write(f"{self.folder}/targets.json", self.groups(count))
            job["file_sd_configs"] = [{"files": ["targets.json"]}]
        interval = f"{self.options.interval}s"
        write(f"{self.folder}/prometheus.yml", {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": [job]})
        if not first and self.form == "static":
            begin = time.monotonic()
            urllib.request.urlopen(urllib.request.Request(self.url + "/-/reload", method="POST"), timeout=60).close()
            self.reload_s.append(round(time.monotonic() - begin, 2))

    def get(self, path, **params):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(params)}", timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def wait(self, count):
        for _ in range(600):
            try:
                if len(self.get("query", query="m")) >= count:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise SystemExit("Prometheus has not scraped its targets in two minutes")

    def figures(self, begin, end):
        """Of the targets that were there all the time."""
        stayed = range(self.options.targets - 1)
        span = f"{int(end - begin)}s"
        samples = {r["metric"]["instance"]: [v[0] for v in r["values"]] for r in self.get("query", query=f"m[{span}]", time=end)}
        missed = sum(sum(int((b - a) / self.options.interval - 0.5) for a, b in zip(t, t[1:]) if b - a > 1.5 * self.options.interval)
                     for i, t in samples.items() if int(i) in stayed)
        step, hidden, most = 0.5, 0, 0.0
        for r in self.get("query_range", query="m", start=begin, end=end, step=step):
            seen = {round((v[0] - begin) / step) for v in r["values"]}
            gaps = [k for k in range(round((end - begin) / step)) if k not in seen]
            if int(r["metric"]["instance"]) in stayed and gaps:
                hidden += 1
                most = max(most, len(gaps) * step)
        added = self.get("query", query=f"sum(sum_over_time(scrape_series_added{{instance=~\"{'|'.join(map(str, stayed))}\"}}[{span}]))", time=end)
        return {"targets": len(stayed), "scrapes": sum(len(t) for i, t in samples.items() if int(i) in stayed), "missed_scrapes": missed,
                "invisible_targets": hidden, "most_invisible_seconds": most,
                "series_new_again": int(float(added[0]["value"][1])) if added else 0, "reload_seconds": self.reload_s}

    def end(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--targets", type=int, default=60)
    parser.add_argument("--scrape", type=float, default=1.5)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--changes", type=int, default=4)
    options = parser.parse_args()
    address = serve(options.scrape)
    folder = tempfile.mkdtemp(prefix="kvass-reload-forms-")
    runs = [Run(form, options, address, f"{folder}/{form}") for form in ("static", "file")]
    try:
        for run in runs:
            run.wait(options.targets)
        time.sleep(2 * options.interval)
        begin = time.time()
        for change in range(options.changes):
            time.sleep(3 * options.interval)
            for run in runs:
                run.tell(options.targets + (-1 if change % 2 == 0 else 0))
        time.sleep(4 * options.interval)
        end = time.time()
        version = subprocess.run([options.prometheus, "--version"], capture_output=True, text=True)
        answer = {"prometheus": (version.stdout + version.stderr).split()[2], "interval_seconds": options.interval,
                  "scrape_seconds": options.scrape, "changes": options.changes}
        answer.update({run.form: run.figures(begin, end) for run in runs})
        print(json.dumps(answer, indent=1))
    finally:
        for run in runs:
            run.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
