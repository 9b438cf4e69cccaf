"""kvass get, kvass config and the log, as an operator meets them."""
import json
import os
import pty
import re
import subprocess
import time

import pytest
from harness import KVASS, SOURCE, all_up, free_ports, http, static_job, wait_for, write
from sidecar_harness import Beside

ESCAPE = "\x1b["


def run(*arguments, env=None, **more):
    done = subprocess.run([KVASS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                          env={**os.environ, **(env or {})}, **more)
    return done.returncode, done.stdout, done.stderr


def on_terminal(*arguments, seconds=3, **env):
    """What it writes to a terminal, for a while."""
    main, other = pty.openpty()
    with subprocess.Popen([KVASS, *arguments], stdout=other, stderr=other, stdin=subprocess.DEVNULL,
                          env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **env}) as child:
        os.close(other)
        os.set_blocking(main, False)
        text, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                part = os.read(main, 65536)
                text += part
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        child.kill()
    os.close(main)
    return text.decode()


@pytest.fixture
def kvass(world):
    _, addresses = world.exporter("--series=100", listeners=3)
    world.configure([static_job("load", addresses)])
    daemon = world.appliance("--shard.max-series=5000").wait_ready()
    wait_for("targets up", 90, lambda: all_up(daemon, 3))
    return daemon


def test_get(kvass):
    server = f"--server={kvass.url}"
    for noun, first in (("shards", "SHARD"), ("targets", "JOB"), ("moves", "STARTED")):
        status, out, err = run("get", noun, server)
        assert (status, err) == (0, "") and out.startswith(first) and ESCAPE not in out
    table = [line for line in run("get", "targets", server)[1].splitlines() if line][:4]
    column = table[0].index("STATE")
    assert all(line[column - 2:column] == "  " and line[column:].startswith(("STATE", "assigned")) for line in table), table
    assert json.loads(run("get", "shards", "-o", "json", server)[1])["data"]["shards"][0]["id"] == "shard-0"
    assert len(json.loads(run("get", "targets", "--output=json", server)[1])["data"]["activeTargets"]) == 3
    table = run("get", "metrics", server)[1].splitlines()
    assert table[0].split() == ["METRIC", "LABELS", "VALUE"]
    assert [line.split() for line in table if line.startswith("kvass_balancer_shard_ready ")] == [
        ["kvass_balancer_shard_ready", "shard=shard-0", "replica=", "1"]]
    answer = json.loads(run("get", "metrics", "-o", "json", server)[1])
    page = http(kvass.url + "/metrics")[1]
    assert answer["status"] == "success" and len(answer["data"]) >= page.count("\n") - page.count("\n#") - 5 > 100
    assert {"name": "kvass_balancer_shard_ready", "labels": {"shard": "shard-0", "replica": ""}, "value": "1"} in answer["data"]


def test_words_of_get(kvass):
    server = f"--server={kvass.url}"
    out = run("get", "shards", server)[1]
    assert re.search(r"(?m)^wanted: 1 shard: \d+ ", out) and "~" not in out, out
    assert re.search(r"(?m)^1 shard is wanted: \d+ series need", run("get", "why", server)[1])
    status, out, err = run("get", "targets", "--job=(", server)
    assert (status, out) == (1, "") and "status 400: " in err and "{" not in err.partition("status 400")[2] and '"error"' not in err, err


def test_why_of_a_job_whose_targets_are_dropped(world):
    """Not "no such target": they were discovered, and what became of them is said."""
    _, addresses = world.exporter("--series=100", listeners=2)
    world.configure([static_job("load", addresses), static_job("away", addresses, relabel_configs=[
        {"source_labels": ["__address__"], "regex": ".*", "action": "drop"}])])
    daemon = world.appliance("--shard.max-series=5000").wait_ready()
    wait_for("targets up", 90, lambda: all_up(daemon, 2))
    server = f"--server={daemon.url}"
    out = run("get", "why", "--job=away", server)[1]
    for address in addresses:
        assert f"away {address} (dropped)\n  It was discovered, and the job's relabelling dropped it.\n" in out, out
    assert "no such target" not in out
    assert "dropped" not in run("get", "why", "--job=load", server)[1]
    assert run("get", "why", "--job=load", "--hash=12", server)[1] == "Discovery knows no such target.\n"
    assert run("get", "why", "--hash=12", server)[1] == "Discovery knows no such target.\n"


def test_estimates_are_marked(world):
    """A target that was never measured counts by estimate: its shard's load is marked, its own size not shown."""
    _, addresses = world.exporter("--series=100")
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    world.configure([static_job("load", addresses), static_job("dead", [dead])])
    kvass = world.appliance("--shard.max-series=5000").wait_ready()
    wait_for("both to be placed", 120, lambda: len([t for t in kvass.targets() if t["shards"]]) == 2 and any(t["health"] == "up" for t in kvass.targets()))
    wait_for("the plan to count both", 60, lambda: kvass.shards()[0]["estimatedTargets"] == 1 and kvass.shards()[0]["targets"] == 2)
    out = run("get", "shards", f"--server={kvass.url}")[1]
    assert re.search(r"(?m)^shard-0 +ready +2 +~\d+ +5000 +~\d+% ", out) and "\n~ holds targets that have not been measured" in out, out
    line = re.search(r"(?m)^dead .*$", run("get", "targets", f"--server={kvass.url}")[1]).group(0).split()
    assert line[4:6] == ["-", "-"], line


def test_a_sidecar_has_no_shards_to_tell(world):
    beside = Beside(world, ["--config.file="]).start_kvass()
    sidecar = beside.url
    assert "is a sidecar" in run("get", "targets", f"--server={sidecar}")[2]  # without its Prometheus, too
    assert beside.push_config("scrape_configs: []")[0] == 200
    beside.start_prometheus()
    for noun in ("shards", "targets", "moves", "why"):
        status, out, err = run("get", noun, f"--server={sidecar}")
        assert (status, out) == (1, "") and "is a sidecar" in err and "ask the coordinator" in err, (noun, err)
    assert run("get", "metrics", f"--server={sidecar}")[0] == 0


def test_colour_and_watch_on_a_terminal(kvass):
    server = f"--server={kvass.url}"
    assert re.search(re.escape(ESCAPE) + r"[0-9;]*m", on_terminal("get", "shards", server))
    plain = on_terminal("get", "shards", server, NO_COLOR="1"), on_terminal("get", "shards", server, TERM="dumb")
    assert all("shard-0" in text and ESCAPE not in text for text in plain), plain
    assert re.search(re.escape(ESCAPE) + r"[0-9;]*m", on_terminal("get", "shards", server, NO_COLOR=""))
    watched = on_terminal("get", "shards", "--watch", server, seconds=6)
    assert watched.count("SHARD") >= 2 and ESCAPE + "2J" in watched
    watched = on_terminal("get", "shards", "--watch", server, seconds=6, TERM="dumb")
    assert watched.count("SHARD") >= 2 and ESCAPE not in watched


def test_no_priorities_where_no_journal_reads(tmp_path):
    """A child of a unit, its stderr in a file, inherits the variable and not the stream."""
    done = run("appliance", "--kvass.config=/dev/null", f"--config.file={tmp_path}/none", f"--store.path={tmp_path}",
               "--web.address=127.0.0.1:0", "--web.proxy-addr=127.0.0.1:0", env={"JOURNAL_STREAM": "1:1"})
    assert done[0] == 1 and done[2].startswith("ts="), done


def test_watch_ends_when_nobody_reads(kvass):
    """As in `kvass get shards --watch | head -1`."""
    with subprocess.Popen([KVASS, "get", "shards", "--watch", f"--server={kvass.url}"], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline().startswith(b"SHARD")
        child.stdout.close()
        assert child.wait(120) == 1


def test_exit_statuses():
    port = free_ports(1)[0]
    status, out, err = run("get", "shards", f"--server=http://127.0.0.1:{port}")
    assert (status, out) == (1, "") and f"127.0.0.1:{port}" in err
    assert run("get", "nothing")[0] == 2
    assert "did you mean 'shards'" in run("get", "shads")[2] and "did you mean 'get'" in run("gett")[2]
    assert "did you mean" not in run("get", "qqqq")[2] + run("qqqqqqq")[2] and "shards, targets, moves, why, metrics" in run("get", "qqqq")[2]
    out = run("get", "--help")[1]
    assert "-o table|json" in out and "-o is short for it" in out and "why" in out
    assert re.search(r"(?m)^  get +shards, targets, moves or metrics of a running kvass, and why$", run("help")[1])
    assert run("get", "shards", "--output=xml")[0] == 2
    assert run("get", "shards", "--no-such")[0] == 2
    for arguments in (["shards", "--job=a"], ["targets", "--target=http://a"], ["metrics", "--hash=1"]):
        status, out, err = run("get", *arguments)
        assert (status, out) == (2, "") and f"is no option of '{arguments[0]}'" in err, err
    for command in (["get"], ["check", "config"], ["config"], ["appliance"]):
        wanted = run(*command, "--help")
        assert run("help", *command) == wanted and run(*command, "-h") == wanted and wanted[0] == 0, command
    assert run("-h") == run("--help") == run("help")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([KVASS, "appliance", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.startswith("kvass: standard output: "), done
    for command in (["get"], ["count"], ["render"], ["plan"], ["simulate"], ["check"], ["check", "config"], ["check", "service-discovery"],
                    ["config"], ["appliance"], ["coordinator"], ["sidecar"], ["run"]):
        status, out, err = run(*command, "--help")
        assert (status, err) == (0, "") and out.startswith(f"usage: kvass {command[0]} "), command


def test_precedence(tmp_path):
    conf = tmp_path / "kvass.yaml"
    conf.write_text("move.budget: 7\nmove.scrapes: 5\nappliance:\n  move.scrapes: 6\n", encoding="utf-8")
    out = run("config", "show", "--role=appliance", f"--kvass.config={conf}", "--move.budget=9")[1]
    found = {m[0]: (m[1], m[2]) for m in re.findall(r"(?m)^([a-z.-]+): (\S+) +# (.*)$", out)}
    assert found["move.budget"] == ("9", "flag")
    assert found["move.scrapes"] == ("6", f"{conf}:4")
    assert found["move.cool-down"] == ("10m", "default")


@pytest.mark.parametrize("text,words", [
    ("shard.max-sries: 1\n", "did you mean 'shard.max-series'"), ("move.budget: 1\nmove.budget: 2\n", ":2:"),
    ("move.budget: many\n", "move.budget"), ("store.path: ${KVASS_TEST_UNSET}\n", "KVASS_TEST_UNSET"),
    ("appliance:\n  web.proxy-adr: x\n", "web.proxy-addr"), ("role: boss\n", "boss"), ("a: &x 1\nb: *x\n", "")])
def test_mistakes_in_the_file(tmp_path, text, words):
    conf = tmp_path / "kvass.yaml"
    conf.write_text(text, encoding="utf-8")
    status, out, err = run("config", "check", "--role=appliance", f"--kvass.config={conf}")
    assert (status, out) == (1, "") and f"{conf}:" in err and words in err, err


def test_secrets_stand_in_files():
    with open(os.path.join(SOURCE, "src/base/options.def"), encoding="utf-8") as f:
        options = re.findall(r'(?m)^OPTION\((\w+), \w+, "([^"]+)"', f.read())
    assert len(options) > 50
    for kind, name in options:
        if kind == "BOOL":
            continue
        assert not re.search(r"password|secret|token|key\b", name) or name.endswith(("-file", ".file")), name


def lines_of(daemon):
    return [line for line in daemon.output().splitlines() if line]


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_the_log_under_faults(world, form):
    """Three hundred targets that refuse, on a Prometheus that is killed again and again: a bounded number of lines, each well formed, each
    with the priority of its level."""
    ports = free_ports(300)
    world.configure([static_job("dead", [f"127.0.0.1:{p}" for p in ports])])
    log = os.path.join(world.directory, "kvass.log")
    write(log, "")
    journal = f"{os.stat(log).st_dev}:{os.stat(log).st_ino}"  # as systemd names the stream it made
    daemon = world.appliance(f"--log.format={form}", env={"JOURNAL_STREAM": journal}).wait_ready()
    wait_for("the targets to be placed", 120, lambda: sum(t["health"] == "down" for t in daemon.targets()) == 300)
    for _ in range(2):
        for pid in daemon.child_pids().values():
            os.kill(pid, 9)
        write(os.path.join(world.directory, "prometheus.yml"), "scrape_configs: broken\n")
        time.sleep(2)
    before = len(lines_of(daemon))
    time.sleep(10)
    lines = lines_of(daemon)
    assert len(lines) - before < 60, lines[before:][:80]
    levels = {"debug": 7, "info": 6, "warn": 4, "error": 3}
    for line in lines:
        priority, _, rest = line.partition(">")
        level = json.loads(rest)["level"] if form == "json" else re.search(r"level=(\w+)", rest).group(1)
        assert priority == f"<{levels[level]}", line


def test_why_names_the_job_that_is_awaited(world):
    """One mechanism that never answers holds up the first decision, and is named."""
    _, addresses = world.exporter("--series=100")
    port = free_ports(1)[0]
    world.configure([static_job("load", addresses), {"job_name": "dead", "http_sd_configs": [{"url": f"http://127.0.0.1:{port}/list"}]}])
    daemon = world.appliance("--sd.init-timeout=1h")
    reason = ("Nothing is done at present: the first discovery of every job is not done yet: job 'dead' waits for an answer to its "
              "http_sd_configs, 1 of 2 jobs are awaited.")
    wait_for("the reason", 60, lambda: reason in daemon.get("/api/v1/why")["why"])
    assert "job 'dead' waits" in run("get", "why", f"--server={daemon.url}")[1]
