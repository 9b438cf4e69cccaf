"""kvass config show|check, as a user runs it."""
import os
import re
import subprocess

import pytest

KVASS = os.path.join(os.environ.get("top_builddir", "."), "kvass")
SAMPLE = os.path.join(os.environ.get("top_srcdir", "."), "etc/kvass.yaml")


def kvass_config(*args, env=None):
    done = subprocess.run([KVASS, "config", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False,
                          env={**os.environ, **(env or {})}, encoding="utf-8")
    return done.returncode, done.stdout, done.stderr


def test_show_tells_values_and_origins(tmp_path):
    conf = tmp_path / "kvass.yaml"
    conf.write_text("role: coordinator\nstore.path: ${WHERE}/kvass\ncoordinator:\n  move.budget: 7\n", encoding="utf-8")
    status, out, err = kvass_config("show", f"--kvass.config={conf}", "--log.level", "debug", env={"WHERE": "/data"})
    assert (status, err) == (0, "")
    lines = {line.split(":")[0]: line for line in out.splitlines()}
    assert lines["role"] == "role: coordinator"
    assert lines["store.path"].split() == ["store.path:", "/data/kvass", "#", f"{conf}:2"]
    assert lines["move.budget"].split() == ["move.budget:", "7", "#", f"{conf}:4"]
    assert lines["log.level"].split() == ["log.level:", "debug", "#", "flag"]
    assert lines["web.address"].split() == ["web.address:", '":9090"', "#", "default"]
    assert "web.proxy-addr" not in lines


def test_check_says_why(tmp_path):
    conf = tmp_path / "kvass.yaml"
    conf.write_text("move.budgett: 7\n", encoding="utf-8")
    status, out, err = kvass_config("check", "--role=coordinator", f"--kvass.config={conf}")
    assert (status, out) == (1, "")
    assert err == f"kvass: {conf}:1:1: unknown key 'move.budgett'; did you mean 'move.budget'?\n"
    for wrong, right in (("apliance: {}", "appliance"), ("rolle: sidecar", "role")):
        conf.write_text(wrong + "\n", encoding="utf-8")
        assert kvass_config("check", f"--kvass.config={conf}")[2].endswith(f"; did you mean '{right}'?\n"), wrong
    conf.write_text("shard: {max-series: 7}\n", encoding="utf-8")
    err = kvass_config("check", "--role=appliance", f"--kvass.config={conf}")[2]
    assert re.search(r":1:1: unknown key 'shard'; an option is one dotted name, such as 'shard\.[a-z-]+'$", err.strip()), err
    assert kvass_config("check", "--role=boss")[0] == kvass_config("check", "--role")[0] == 2
    both = [kvass_config("show", *role, "--kvass.config=/dev/null") for role in (["--role=sidecar"], ["--role", "sidecar"])]
    assert both[0] == both[1] and both[0][0] == 0 and "prometheus.env.yaml" in both[0][1], both
    assert kvass_config("chek")[0] == 2
    assert kvass_config("--help")[0] == 0


def test_the_sample_is_good_for_every_role(tmp_path):
    origin = tmp_path / "prometheus.yml"
    origin.write_text("", encoding="utf-8")
    for role in ("appliance", "coordinator", "sidecar"):
        assert kvass_config("check", f"--role={role}", f"--kvass.config={SAMPLE}", f"--config.file={origin}") == (0, "", "")


def test_roles_and_who_runs_the_shards(tmp_path):
    """What an appliance does not drive is refused with what does, and the other way round."""
    conf = tmp_path / "p.yml"
    conf.write_text("scrape_configs: []\n", encoding="utf-8")
    for role, kind, more, word in (("appliance", "static", [f"--shard.static-file={conf}"], "'kvass coordinator --shard.type=static'"),
                                   ("appliance", "http", ["--shard.http-url=http://127.0.0.1:1/"], "'kvass coordinator --shard.type=http'"),
                                   ("coordinator", "process", [], "'kvass appliance --shard.type=process'")):
        done = subprocess.run([KVASS, role, f"--shard.type={kind}", f"--config.file={conf}", f"--store.path={tmp_path}/store", *more],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False, encoding="utf-8")
        assert done.returncode == 2 and word in done.stderr, (role, kind, done.stderr)
        assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("role,options,words", [
    ("appliance", ["--shard.type=static"], "shard.type (flag) is static, but the role appliance has: process, systemd, k8s"),
    ("appliance", ["--shard.type=http", "--shard.http-url=http://x"], "shard.type (flag) is http"),
    ("coordinator", ["--shard.type=systemd"], "shard.type (flag) is systemd, but the role coordinator has: k8s, static, http"),
    ("coordinator", ["--shard.type=http"], "shard.http-url"),
    ("appliance", ["--shard.type=systemd", "--shard.systemd-unit=plain.service"], "expected a template unit, name@.service"),
    ("appliance", ["--shard.type=systemd", "--store.path=/srv/kvass"], "kvass-prometheus@.service reads /var/lib/kvass"),
    ("appliance", ["--shard.type=systemd", "--store.path=/x", "--shard.systemd-unit=own@.service", "--shard.prometheus-port=65530"],
     "ports 65530 to 65545"),
    ("appliance", ["--config.file=/nonexistent"], "config.file: open(/nonexistent): No such file"),
    ("coordinator", ["--config.file=/nonexistent", "--shard.type=static"], "config.file: open(/nonexistent)"),
    ("coordinator", ["--shard.type=static", "--shard.static-file=/nonexistent"], "shard.static-file: open(/nonexistent)"),
    ("coordinator", ["--kubeconfig=/nonexistent"], "kubeconfig: open(/nonexistent)"),
    ("coordinator", ["--shard.type=http", "--shard.http-url=http://x", "--shard.http-config-file=/nonexistent"], "shard.http-config-file"),
    ("sidecar", ["--web.token-file=/nonexistent"], "web.token-file: open(/nonexistent)"),
    ("appliance", ["--web.config.file=/nonexistent"], "web.config.file: open(/nonexistent)"),
    ("appliance", ["--web.config.file={broken}"], "web.config.file: "),
    ("appliance", ["--replica.jobs=node"], "replica.jobs: "),
    ("appliance", ["--store.group=no-such-group"], "store.group"),
    ("appliance", ["--shard.prometheus-binary=/nonexistent"], "shard.prometheus-binary: /nonexistent"),
    ("sidecar", ["--config.file=/nonexistent"], None)])
def test_check_and_the_role_refuse_the_same(tmp_path, role, options, words):
    """What `config check` refuses, the daemon refuses with the same words; what it takes, the daemon starts with."""
    origin, broken = tmp_path / "prometheus.yml", tmp_path / "broken.yml"
    origin.write_text("", encoding="utf-8")
    broken.write_text("tls_server_config: {certt_file: x}\n", encoding="utf-8")
    common = ["--kvass.config=/dev/null", f"--config.file={origin}"]
    if not any("systemd" in o for o in options):
        common.append(f"--store.path={tmp_path}")
    options = common + [o.format(broken=broken) for o in options]
    status, out, err = kvass_config("check", f"--role={role}", *options)
    if words is None:
        assert (status, out, err) == (0, "", "")
        return
    assert (status, out) == (1, "") and words in err, err
    done = subprocess.run([KVASS, role, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
                          encoding="utf-8")
    assert done.returncode in (1, 2) and words in done.stdout, done.stdout
    assert sorted(os.listdir(tmp_path)) == ["broken.yml", "prometheus.yml"], "something was touched"
