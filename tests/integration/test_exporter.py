"""The test exporter itself: its counts are exact in every format and encoding, and its faults are what they are named.

The oracles are independent of it: lines are counted here, the text is judged by promtool, the protobuf is walked by a reader
of its own, and a real Prometheus reports what it scraped."""

import gzip
import http.client
import json
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import free_ports
from kvass_exporter import Exporter


@pytest.fixture(scope="module")
def exporter():
    with Exporter("--series=10045", listeners=2) as e:
        yield e


def get(exporter, path, headers=None, listener=0):
    connection = http.client.HTTPConnection("127.0.0.1", exporter.ports[listener], timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def sample_lines(text):
    return sum(1 for line in text.decode().splitlines() if line and not line.startswith("#"))


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            assert kind == 2
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        yield key >> 3, value


def protobuf_samples(data):
    at = count = 0
    while at < len(data):
        length, at = varint(data, at)
        for number, metric in fields(data[at:at + length]):
            if number != 4:
                continue
            for part, value in fields(metric):
                if part in (2, 3):
                    count += 1
                elif part == 7:
                    count += 2 + sum(1 for n, _ in fields(value) if n == 3)
                elif part == 4:
                    count += 2 + sum(1 for n, _ in fields(value) if n == 3)
        at += length
    return count


@pytest.mark.parametrize("series", [0, 1, 13, 82, 83, 84, 1000, 10045])
@pytest.mark.parametrize("form", ["text", "openmetrics", "protobuf"])
def test_counts_are_exact(exporter, form, series):
    answer, body = get(exporter, "/metrics?series=%d&format=%s&encoding=identity" % (series, form))
    assert answer.status == 200
    assert answer.getheader("X-Samples") == str(series)
    count = protobuf_samples(body) if form == "protobuf" else sample_lines(body)
    assert count == series
    if form == "openmetrics":
        assert body.endswith(b"# EOF\n")


def test_samples_are_distinct(exporter):
    _, body = get(exporter, "/metrics?encoding=identity")
    names = [line.rsplit(" ", 1)[0] for line in body.decode().splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names)) == 10045


def test_promtool_accepts(exporter):
    _, body = get(exporter, "/metrics?series=5000&encoding=identity&label_bytes=40")
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed"
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=60)
    # Exit 3 is advice on naming; a body that does not parse says so.
    assert done.returncode in (0, 3), done.stderr
    assert b"error while linting" not in done.stderr


def test_encodings(exporter):
    _, plain = get(exporter, "/metrics?series=3000")
    answer, packed = get(exporter, "/metrics?series=3000", {"Accept-Encoding": "gzip"})
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(packed) == plain
    answer, packed = get(exporter, "/metrics?series=3000", {"Accept-Encoding": "gzip, zstd"})
    assert answer.getheader("Content-Encoding") == "zstd"
    unzstd = shutil.which("zstd")
    if unzstd:
        done = subprocess.run([unzstd, "-d", "-c"], input=packed, capture_output=True, timeout=60, check=True)
        assert done.stdout == plain
    assert packed[:4] == b"\x28\xb5\x2f\xfd" and len(packed) < len(plain) / 2
    _, chunked = get(exporter, "/metrics?series=3000&chunked=1")
    assert chunked == plain


def test_seed_and_label_size(exporter):
    _, one = get(exporter, "/metrics?series=100&seed=1")
    _, again = get(exporter, "/metrics?series=100&seed=1")
    _, two = get(exporter, "/metrics?series=100&seed=2")
    _, wide = get(exporter, "/metrics?series=100&seed=1&label_bytes=500")
    assert one == again != two
    assert len(wide) > len(one) + 100 * 500


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_generated_size(exporter, encoding):
    size = 3 * 1024 * 1024 + 17
    answer, body = get(exporter, "/metrics?size=%d&encoding=%s" % (size, encoding))
    body = gzip.decompress(body) if encoding == "gzip" else body
    assert len(body) == size
    assert sample_lines(body) == size // 64 == int(answer.getheader("X-Samples"))


def test_control_changes_listener_and_target():
    with Exporter("--series=10", listeners=2) as e:
        e.control("series=20", listener=1)
        assert sample_lines(get(e, "/metrics")[1]) == 10
        assert sample_lines(get(e, "/metrics", listener=1)[1]) == 20
        e.control("target=a&series=30")
        assert sample_lines(get(e, "/t/a/metrics")[1]) == 30
        assert sample_lines(get(e, "/t/b/metrics")[1]) == 10
        assert sample_lines(get(e, "/metrics?target=a")[1]) == 30
        assert sample_lines(get(e, "/metrics?target=a&series=7")[1]) == 7
        stats = e.stats(targets=True)
        assert stats["targets"]["a"]["scrapes"] == 3 and stats["targets"]["b"]["scrapes"] == 1
        assert [one["scrapes"] for one in stats["listeners"]] == [5, 1]
        with pytest.raises(urllib.error.HTTPError):
            e.control("series=many")


def raw(exporter, path, limit=1 << 22):
    """All bytes until the server ends the connection, and how it ended."""
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=3) as s:
        s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).encode())
        data = b""
        try:
            while len(data) < limit:
                piece = s.recv(65536)
                if not piece:
                    return data, "closed"
                data += piece
        except ConnectionResetError:
            return data, "reset"
        except socket.timeout:
            return data, "silent"
        return data, "limit"


def test_faults_of_the_connection(exporter):
    assert raw(exporter, "/metrics?fault=nothing") == (b"", "closed")
    assert raw(exporter, "/metrics?fault=reset") == (b"", "reset")
    assert raw(exporter, "/metrics?fault=stall") == (b"", "silent")
    data, end = raw(exporter, "/metrics?encoding=identity&stall_after=5000")
    assert end == "silent" and len(data.split(b"\r\n\r\n", 1)[1]) == 5000
    data, end = raw(exporter, "/metrics?encoding=identity&fault=half_body")
    head, body = data.split(b"\r\n\r\n", 1)
    promised = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert end == "closed" and len(body) == promised // 2
    data, end = raw(exporter, "/metrics?encoding=identity&reset_after=3000")
    assert end == "reset"
    data, end = raw(exporter, "/metrics?fault=endless&encoding=identity", limit=1 << 20)
    assert end == "limit" and b"Transfer-Encoding: chunked" in data[:300]


def test_faults_of_the_answer(exporter):
    assert get(exporter, "/metrics?fault=status:404")[0].status == 404
    assert get(exporter, "/metrics?fault=500")[0].status == 500
    assert get(exporter, "/metrics?fault=redirect")[0].getheader("Location") == "/metrics"
    answer, body = get(exporter, "/metrics?fault=html")
    assert answer.getheader("Content-Type").startswith("text/html") and b"<html>" in body
    assert len(get(exporter, "/metrics?fault=garbage&encoding=identity")[1]) == 16384
    _, body = get(exporter, "/metrics?long_line=100000&encoding=identity")
    assert max(len(line) for line in body.split(b"\n")) > 100000
    _, packed = get(exporter, "/metrics?fault=wrong_crc&encoding=gzip")
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)
    _, packed = get(exporter, "/metrics?fault=truncate&encoding=gzip")
    with pytest.raises(EOFError):
        gzip.decompress(packed)
    assert get(exporter, "/metrics?authorization=Bearer%20x")[0].status == 401
    assert get(exporter, "/metrics?authorization=Bearer%20x", {"Authorization": "Bearer x"})[0].status == 200
    assert get(exporter, "/metrics?series=x")[0].status == 400


def test_pace(exporter):
    began = time.monotonic()
    _, body = get(exporter, "/metrics?size=65536&encoding=identity&slow=131072")
    assert len(body) == 65536 and time.monotonic() - began > 0.25
    began = time.monotonic()
    get(exporter, "/metrics?delay_ms=300")
    assert time.monotonic() - began > 0.25


def test_keep_alive_and_pipeline(exporter):
    accepted = exporter.stats()["accepted"]
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=10)
    for _ in range(20):
        connection.request("GET", "/metrics?series=50")
        assert sample_lines(connection.getresponse().read()) == 50
    connection.close()
    assert exporter.stats()["accepted"] <= accepted + 2
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=10) as s:
        s.sendall(b"GET /metrics?series=1 HTTP/1.1\r\n\r\n" * 3 + b"GET /x HTTP/1.0\r\n\r\n")
        data = b""
        while piece := s.recv(65536):
            data += piece
    assert data.count(b"HTTP/1.1 200 OK") == 3 and data.count(b"HTTP/1.1 404") == 1


def test_prometheus_reports_the_same_numbers(exporter, tmp_path):
    prometheus = shutil.which("prometheus")
    assert prometheus, "prometheus is needed"
    port = free_ports(1)[0]
    jobs = "".join(
        "  - job_name: %s\n    params: {series: ['4321'], format: [%s], encoding: [%s]}\n"
        "    static_configs: [{targets: ['127.0.0.1:%d']}]\n" % (form + "_" + encoding, form, encoding, exporter.port)
        for form in ("text", "openmetrics", "protobuf") for encoding in ("identity", "gzip"))
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + jobs)
    child = subprocess.Popen(
        [prometheus, "--config.file=%s" % config, "--storage.tsdb.path=%s" % (tmp_path / "data"),
         "--web.listen-address=127.0.0.1:%d" % port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        query = "http://127.0.0.1:%d/api/v1/query?query=%s" % (port, urllib.parse.quote("scrape_samples_scraped"))
        seen = {}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(seen) < 6:
            time.sleep(0.3)
            try:
                with urllib.request.urlopen(query, timeout=5) as answer:
                    result = json.load(answer)["data"]["result"]
            except OSError:
                continue
            seen = {one["metric"]["job"]: int(one["value"][1]) for one in result if int(one["value"][1]) > 0}
        assert set(seen.values()) == {4321} and len(seen) == 6, seen
    finally:
        child.terminate()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(timeout=10)
