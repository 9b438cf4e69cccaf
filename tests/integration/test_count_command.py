"""The command line of `kvass count`: options, encodings, exit status."""
import gzip
import json
import os
import pathlib
import subprocess

KVASS = pathlib.Path(os.environ.get("top_builddir", ".")) / "kvass"
BODY = b'# TYPE a counter\na{x="1"} 1\na{x="2"} 2\nb 3\n'


def count(*args, stdin=b""):
    done = subprocess.run([KVASS, "count", *args], input=stdin, capture_output=True, timeout=30)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()


def test_standard_input():
    code, answer, _ = count(stdin=BODY)
    assert code == 0
    assert answer == {"samples_scraped": 3, "samples_post_metric_relabeling": 3, "format": "text", "error": None}


def test_file_and_metrics(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY)
    for mode in ("strict", "fast"):
        code, answer, _ = count("--by-metric", "--mode", mode, path)
        assert code == 0
        assert answer["metrics"] == {"a": {"scraped": 2, "total": 2}, "b": {"scraped": 1, "total": 1}}


def test_refused_body():
    code, answer, _ = count(stdin=BODY + b"c x\n")
    assert code == 1
    assert answer["samples_scraped"] == 3 and "invalid syntax" in answer["error"]
    code, answer, _ = count("--mode=fast", stdin=BODY + b"c x\n")
    assert code == 0 and answer["samples_scraped"] == 4


def test_parts():
    body = b"".join(b'# TYPE h%d histogram\nh%d_bucket{le="1"} 1\nh%d_sum 1\nh%d_count 1\n' % (i, i, i, i) for i in range(100))
    code, answer, _ = count("--parts=4", stdin=body)
    scraped = [p["samples_scraped"] for p in answer["parts"]]
    assert code == 0 and len(scraped) == 4 and sum(scraped) == answer["samples_scraped"] == 300
    assert all(n % 3 == 0 and n > 0 for n in scraped)  # histograms stay whole
    assert "parts" not in count("--parts=4", stdin=body + b"c x\n")[1]
    code, answer, _ = count("--parts=2", "--mode=fast", stdin=b"a{\nb 1\n")
    assert code == 0 and all(p["error"] is not None for p in answer["parts"])
    for bad in ("1", "65", "x", "", "2x", "-2"):
        code, answer, text = count("--parts=" + bad, stdin=body)
        assert code == 2 and answer is None and "2 to 64" in text


def test_encodings():
    packed = gzip.compress(BODY)
    assert count("--encoding=gzip", stdin=packed)[1]["samples_scraped"] == 3
    assert count("--encoding=gzip", stdin=packed + packed)[1]["samples_scraped"] == 6
    code, answer, _ = count("--encoding=gzip", stdin=packed[:-3])
    assert code == 1 and answer["error"] == "unexpected EOF" and answer["samples_scraped"] == 0
    code, answer, _ = count("--encoding=zstd", stdin=packed)
    assert code == 1 and answer["error"].startswith("zstd: ")


def test_content_type_and_version():
    body = b"a 1\n# EOF\n"
    assert count("--content-type=application/openmetrics-text", stdin=body)[1]["format"] == "openmetrics"
    assert count("--content-type=text/html", stdin=body)[1]["format"] == "text"
    code, answer, _ = count("--content-type=text/html", "--prometheus.version=3.x", stdin=body)
    assert code == 1 and answer["format"] is None and "unsupported Content-Type" in answer["error"]
    assert count(stdin=b'{"a.b"} 1\n')[0] == 1
    assert count("--prometheus.version=3.x", stdin=b'{"a.b"} 1\n')[0] == 0


def test_job_of_a_configuration(tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs:\n- job_name: x\n  sample_limit: 2\n  metric_relabel_configs:\n"
                      "  - {source_labels: [zone, x], regex: 'eu;1', action: drop}\n")
    job = ("--config.file=%s" % config, "--job=x")
    code, answer, _ = count(*job, '--labels={"zone":"eu","job":"x"}', stdin=BODY)
    assert code == 0 and (answer["samples_scraped"], answer["samples_post_metric_relabeling"]) == (3, 2)
    code, answer, _ = count(*job, stdin=BODY)
    assert code == 1 and answer["error"] == "sample limit exceeded" and answer["samples_post_metric_relabeling"] == 3
    code, answer, stderr = count("--config.file=%s" % config, "--job=y", stdin=BODY)
    assert code == 2 and answer is None and "no job 'y'" in stderr


def test_wrong_usage(tmp_path):
    for args in (["--mode=x"], ["--encoding=br"], ["--prometheus.version=4"], ["--labels=[1]"], ["--job=x"], ["--nope"], ["a", "b"],
                 [str(tmp_path / "missing")]):
        code, answer, stderr = count(*args)
        assert code == 2 and answer is None and stderr != "", args
