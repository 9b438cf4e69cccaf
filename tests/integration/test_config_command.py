"""kvass config show|check, as a user runs it."""
import os
import subprocess

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
    assert kvass_config("check", "--role=boss")[0] == 2
    assert kvass_config("chek")[0] == 2
    assert kvass_config("--help")[0] == 0


def test_the_sample_is_good_for_every_role():
    for role in ("appliance", "coordinator", "sidecar"):
        assert kvass_config("check", f"--role={role}", f"--kvass.config={SAMPLE}") == (0, "", "")


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
