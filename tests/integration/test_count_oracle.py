"""`kvass count` against a real Prometheus of each version: many bodies served as many targets, three figures compared for each."""
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import count_bodies
from harness import free_ports

LONG = os.environ.get("KVASS_LONG") == "1"
KVASS = pathlib.Path(os.environ.get("top_builddir", ".")) / "kvass"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
# Refusals behind the parser, whose words kvass repeats; long ones are cut.
OWN_WORDS = re.compile("(missing metric name|label_limit|label_name_length|sample limit|body size|label name .{1,40} is not unique).{,300}$")
WAIT_S = 400 if LONG else 60
INTERVAL = "25s" if LONG else "4s"


class Exporter:
    """Serves bodies[i] at /b/<i>."""

    def __init__(self, bodies):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body, content_type = bodies[int(self.path.rsplit("/", 1)[1])]
                self.send_response(200)
                if content_type:
                    self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Prometheus:
    def __init__(self, version, folder, config):
        self.port = free_ports(1)[0]
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.log = open(folder / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            [version.prometheus, "--config.file=%s" % path, "--storage.tsdb.path=%s" % (folder / "data"),
             "--web.listen-address=127.0.0.1:%d" % self.port], stdout=self.log, stderr=self.log)

    def query(self, text):
        url = "http://127.0.0.1:%d/api/v1/query?query=%s" % (self.port, urllib.parse.quote(text))
        with urllib.request.urlopen(url, timeout=20) as answer:
            result = json.load(answer)["data"]["result"]
        return {(r["metric"]["job"], r["metric"]["instance"]): int(float(r["value"][1])) for r in result}

    def wait_for(self, count):
        """The three figures of each target, once all were scraped."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                if len(self.query("scrape_series_added")) >= count:
                    figures = [self.query(q) for q in
                               ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling")]
                    return {key: tuple(f[key] for f in figures) for key in figures[0]}
            except OSError:
                assert self.process.poll() is None, "prometheus ended"
            time.sleep(0.3)
        raise AssertionError("not all targets were scraped")

    def pass_a_scrape(self):
        """Until every target was scraped once more."""
        began = self.last_scrapes()
        deadline = time.monotonic() + WAIT_S
        while any(last == began[key] for key, last in self.last_scrapes().items()):
            assert time.monotonic() < deadline, "targets are not scraped again"
            time.sleep(0.5)

    def last_scrapes(self):
        url = "http://127.0.0.1:%d/api/v1/targets?state=active" % self.port
        with urllib.request.urlopen(url, timeout=20) as answer:
            return {(t["labels"]["job"], t["labels"]["instance"]): t["lastScrape"] for t in json.load(answer)["data"]["activeTargets"]}

    def errors(self):
        url = "http://127.0.0.1:%d/api/v1/targets?state=active" % self.port
        with urllib.request.urlopen(url, timeout=20) as answer:
            return {(t["labels"]["job"], t["labels"]["instance"]): t["lastError"]
                    for t in json.load(answer)["data"]["activeTargets"]}

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def static_job(name, address, indexes, **more):
    return dict(more, scrape_interval=INTERVAL, scrape_timeout=INTERVAL, static_configs=[
        {"targets": [address], "labels": {"instance": str(i), "__metrics_path__": "/b/%d" % i}} for i in indexes])


def count(version, folder, job, index, body, content_type):
    path = folder / ("body.%d" % index)
    path.write_bytes(body)
    done = subprocess.run([KVASS, "count", version.option, "--content-type=%s" % content_type,
                           "--config.file=%s" % (folder / "prometheus.yml"), "--job=" + job,
                           "--labels=" + json.dumps({"job": job, "instance": str(index)}), path],
                          capture_output=True, timeout=30)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["error"] is None else 1)
    return answer


def compare(version, folder, cases, jobs=({"job_name": "count"},)):
    """Each case under each job (keys of a scrape_config). Returns how many comparisons were made."""
    exporter = Exporter(cases)
    config = {"scrape_configs": [static_job(j["job_name"], exporter.address, range(len(cases)), **j) for j in jobs]}
    prometheus = Prometheus(version, folder, config)
    names = [j["job_name"] for j in jobs]

    def differ(figures, errors):
        for (job, i), ours in answers.items():
            body, content_type = cases[i]
            got = (int(ours["error"] is None), ours["samples_scraped"], ours["samples_post_metric_relabeling"])
            want, error = figures[(job, str(i))], errors[(job, str(i))]
            if got != want:
                yield (job, i), (body, content_type, job, "kvass", got, ours["error"], "prometheus", want, error)
            elif ours["error"] and OWN_WORDS.match(error) and ours["error"] != error:
                yield (job, i), (body, job, "kvass says", ours["error"], "prometheus says", error)

    try:
        figures = prometheus.wait_for(len(cases) * len(names))
        answers = {(job, i): count(version, folder, job, i, *case) for i, case in enumerate(cases) for job in names}
        differences = dict(differ(figures, prometheus.errors()))
        if differences:
            # On a busy machine the three figures and the error may be of different scrapes, one of them late: a difference has to last.
            prometheus.pass_a_scrape()
            lasting = dict(differ(prometheus.wait_for(len(cases) * len(names)), prometheus.errors()))
            differences = {key: d for key, d in differences.items() if key in lasting}
        differences = list(differences.values())
    finally:
        prometheus.close()
        exporter.close()
    for d in differences[:20]:
        print(d)
    assert len(figures) == len(cases) * len(names)
    assert differences == []


def test_tables(tmp_path, version):
    compare(version, tmp_path, [(b, TEXT) for b in count_bodies.TEXT_ROWS] + [(b, OPENMETRICS) for b in count_bodies.OPENMETRICS_ROWS] +
            [(b, PROTOBUF) for b in count_bodies.PROTOBUF_ROWS])


def test_generated(tmp_path, version):
    text, openmetrics, protobuf = (3000, 1500, 800) if LONG else (250, 120, 60)
    compare(version, tmp_path, [(b, TEXT) for b in count_bodies.generate(42, text)] +
            [(b, OPENMETRICS) for b in count_bodies.generate(43, openmetrics, openmetrics=True)] +
            [(b, PROTOBUF) for b in count_bodies.generate_protobuf(44, protobuf)])


def job(name, *rules, **more):
    return dict(more, job_name=name, metric_relabel_configs=list(rules))


JOBS = [
    job("drop_name", {"source_labels": ["__name__"], "regex": "go_.*|b_total", "action": "drop"}),
    job("keep_name", {"source_labels": ["__name__"], "regex": "(a|node_cpu_seconds_total|h_bucket)", "action": "keep"}),
    job("drop_label", {"source_labels": ["x", "code"], "regex": ".*200.*", "action": "drop"}),
    job("labeldrop", {"regex": "le|__name__x|x", "action": "labeldrop"}),
    job("no_name", {"source_labels": ["x"], "regex": "GET", "target_label": "__name__", "replacement": ""}),
    job("bad_name", {"source_labels": ["code"], "regex": "(v|200)", "target_label": "__name__", "replacement": "a-b"}),
    job("labelmap", {"regex": "exported_(.+)", "action": "labelmap"}, {"source_labels": ["job"], "regex": "v|1", "action": "drop"}),
    job("honor", {"source_labels": ["job"], "regex": "honor", "action": "keep"}, honor_labels=True),
    job("exported", {"source_labels": ["exported_job"], "regex": ".+", "action": "drop"}),
    job("hashmod", {"source_labels": ["__name__", "x"], "modulus": 3, "target_label": "__tmp", "action": "hashmod"},
        {"source_labels": ["__tmp"], "regex": "1", "action": "keep"}),
    job("sample_limit", sample_limit=3),
    job("label_limit", label_limit=6, label_name_length_limit=20),
    job("value_limit", label_value_length_limit=20),
    job("body_limit", body_size_limit="200B"),
]


def test_relabelling(tmp_path, version):
    text, openmetrics, protobuf = (250, 60, 40) if LONG else (30, 6, 6)
    compare(version, tmp_path, [(b, TEXT) for b in count_bodies.generate(45, text)] +
            [(b, OPENMETRICS) for b in count_bodies.generate(46, openmetrics, openmetrics=True)] +
            [(b, PROTOBUF) for b in count_bodies.generate_protobuf(47, protobuf)], JOBS)
