"""The systemd units as installed: valid for systemd, exposed less than 2.0, options they name exist, every role has one."""
import os
import re
import subprocess

import pytest
from harness import BUILD, KVASS

UNITS = ["kvass.service", "kvass-coordinator.service", "kvass-sidecar.service", "kvass-prometheus@.service"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`make install` below a folder, with the paths of the programs as they are here."""
    root = str(tmp_path_factory.mktemp("root"))
    done = subprocess.run(["make", "-s", "-C", BUILD, "install-systemdsystemunitDATA", "install-sysconfig", f"DESTDIR={root}",
                           "systemdsystemunitdir=/units", "sysusersdir=/sysusers", "tmpfilesdir=/tmpfiles", "polkitrulesdir=/polkit",
                           "sysconfdir=/etc", "bashcompletiondir=/bash", "zshcompletiondir=/zsh"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
                          env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")})
    assert done.returncode == 0, done.stdout
    for unit in UNITS:
        path = f"{root}/units/{unit}"
        with open(path) as f:
            text = f.read()
        assert "@" not in text.replace("kvass-prometheus@", "").replace("@system-service", "").replace("~@privileged @resources", ""), text
        text = re.sub(r"(?m)^ExecStart=\S*/kvass ", f"ExecStart={KVASS} ", text)
        with open(path, "w") as f:
            f.write(re.sub(r"(?m)^Documentation=.*\n", "", text))  # the man pages are not installed yet
    return root


def read(path):
    with open(path) as f:
        return f.read()


def values(text, key):
    return re.findall(rf"(?m)^{key}=(.*)$", text)


def test_systemd_takes_them(installed):
    # An instance stands for the template; the socket and the slice come along as they are named.
    units = [f"{installed}/units/{u.replace('@', '@shard-0')}" for u in UNITS]
    os.link(f"{installed}/units/kvass-prometheus@.service", units[-1])
    for name in ("kvass.socket", "kvass-sidecar.socket", "kvass.slice"):
        path = f"{installed}/units/{name}"
        text = re.sub(r"(?m)^Documentation=.*\n", "", read(path))
        with open(path, "w") as f:
            f.write(text)
        units.append(path)
    done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=one", *units], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{installed}/units:"})
    complaints = [line for line in done.stdout.splitlines() if "kvass" in line]
    assert complaints == [] and done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_below_two(installed, unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=19", f"{installed}/units/{unit}"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level and float(level.group(1)) < 2.0 and done.returncode == 0, done.stdout


def test_daemons_talk_to_systemd(installed):
    for unit in UNITS[:3]:
        text = read(f"{installed}/units/{unit}")
        assert values(text, "Type") == ["notify"] and values(text, "ExecReload") and values(text, "WatchdogSec") == ["30s"], unit
        assert values(text, "User") == values(text, "Group") == ["kvass"], unit
        command = values(text, "ExecStart")[0].split()
        assert command[0] == KVASS and len(command) == 2
        assert command[1] in {"kvass.service": "run"}.get(unit, unit.split("-")[-1].split(".")[0])


def test_children_outlive_a_restart(installed):
    text = read(f"{installed}/units/kvass.service")
    assert values(text, "KillMode") == ["process"] and values(text, "OOMPolicy") == ["continue"]
    assert values(text, "Sockets") == ["kvass.socket"] and values(text, "Also") == ["kvass.socket"]


@pytest.mark.parametrize("role,unit", [("appliance", "kvass.socket"), ("sidecar", "kvass-sidecar.socket")])
def test_the_socket_has_the_default_addresses(installed, role, unit):
    shown = subprocess.run([KVASS, "config", "show", f"--role={role}", "--kvass.config=/dev/null"], stdout=subprocess.PIPE, text=True,
                           timeout=30, check=True).stdout
    wanted = {re.search(rf'(?m)^{re.escape(k)}: "?([0-9.:]+)"?', shown).group(1) for k in ("web.address", "web.proxy-addr")}
    assert {a if a.count(":") else f":{a}" for a in values(read(f"{installed}/units/{unit}"), "ListenStream")} == wanted


def test_account_and_folders(installed):
    root = os.path.join(installed, "system")
    os.makedirs(f"{root}/etc")
    done = subprocess.run(["systemd-sysusers", f"--root={root}", "-"], input=read(f"{installed}/sysusers/kvass.conf"), text=True,
                          timeout=60, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert re.search(r"(?m)^kvass:x:\d+:\d+:kvass:/var/lib/kvass:", read(f"{root}/etc/passwd"))
    assert re.search(r"(?m)^kvass:x:\d+:$", read(f"{root}/etc/group"))
    assert [line.split()[:5] for line in read(f"{installed}/tmpfiles/kvass.conf").splitlines() if not line.startswith("#")] == [
        ["d", "/var/lib/kvass", "0750", "kvass", "kvass"], ["d", "/var/lib/kvass/shards", "0750", "kvass", "kvass"]]


def test_installed_configuration_is_accepted(installed):
    subprocess.run([KVASS, "config", "check", "--role=appliance", f"--kvass.config={installed}/etc/kvass/kvass.yaml",
                    f"--config.file={os.devnull}"], check=True,
                   timeout=30)
    assert read(f"{installed}/etc/kvass/kvass.yaml").count("\n#role: appliance\n") == 1
