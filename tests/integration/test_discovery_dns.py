"""dns_sd_configs against a real Prometheus, both asking a real DNS server (dnsmasq) that a resolv.conf of their own names."""
import ctypes
import json
import os
import socket
import subprocess

import pytest
from discovery_twin import Twin, check_sd
from harness import Process, wait_for

ADDRESS = f"127.{os.getpid() >> 8 & 0x7f | 0x40}.{os.getpid() & 0xff}.53"
LOCAL = ["example.test", "other.test", "x"]
RECORDS = [
    "srv-host=_web._tcp.example.test,a.example.test,8080", "srv-host=_web._tcp.example.test,b.example.test,8081,5,7",
    "host-record=a.example.test,192.0.2.1,2001:db8::1", "host-record=b.example.test,192.0.2.2",
    "host-record=many.example.test,192.0.2.9", "cname=alias.example.test,a.example.test",
    "mx-host=example.test,mail.example.test,10", "mx-host=example.test,backup.example.test,20",
    "dns-rr=example.test,2,026e73076578616d706c650474657374" + "00",
    *[f"srv-host=_big._tcp.example.test,node-with-a-long-name-{i}.example.test,{9000 + i}" for i in range(150)],
]
JOBS = {
    "srv": {"names": ["_web._tcp.example.test", "_WEB._tcp.example.test."]},
    "a": {"names": ["a.example.test", "alias.example.test", "a.example.test"], "type": "A", "port": 9100},
    "aaaa": {"names": ["a.example.test", "b.example.test"], "type": "AAAA", "port": 9100},
    "mx": {"names": ["example.test"], "type": "mx", "port": 25},
    "search": {"names": ["b", "nowhere.x", "_web._tcp"], "type": "A", "port": 80},
    "big": {"names": ["_big._tcp.example.test"], "type": "SRV"},
    "none": {"names": ["_no._tcp.example.test", "no.example.test."]},
}
MIXED = {"names": ["a.example.test", "refused.example.org"], "type": "A", "port": 80}


class Dnsmasq(Process):
    def __init__(self, directory, records):
        path = os.path.join(directory, "dnsmasq.conf")
        with open(path, "w") as f:
            f.write("\n".join([f"listen-address={ADDRESS}", "bind-interfaces", "no-resolv", "no-hosts", "no-daemon", "user=root",
                               "edns-packet-max=1232", *[f"local=/{z}/" for z in LOCAL], *records]) + "\n")
        super().__init__(["dnsmasq", "-C", path], os.path.join(directory, "dnsmasq.log"))
        wait_for("dnsmasq", 10, self.answers)

    def answers(self):
        assert self.running(), self.output()
        with socket.create_connection((ADDRESS, 53), timeout=1):
            return True


@pytest.fixture(scope="module", autouse=True)
def resolv_conf(tmp_path_factory):
    """A mount namespace of this test alone, with its own resolv.conf: Prometheus reads no other file."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a private /etc/resolv.conf")
    path = tmp_path_factory.mktemp("dns") / "resolv.conf"
    path.write_text(f"# made for a test\nnameserver {ADDRESS}\nsearch other.test example.test\noptions ndots:2 timeout:1\n")
    if ctypes.CDLL(None, use_errno=True).unshare(0x00020000) != 0:  # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", str(path), "/etc/resolv.conf"], check=True)
    yield path
    subprocess.run(["umount", "/etc/resolv.conf"], check=True)


def job(name, entry):
    return {"job_name": name, "relabel_configs": [{"source_labels": ["__meta_dns_name"], "target_label": "name"}],
            "dns_sd_configs": [{"refresh_interval": "1s", **entry}]}


def addresses(found):
    return sorted(t["__address__"] for t in found["active"])


def test_every_type_equals_prometheus_through_changes_and_failures(world):
    dns = Dnsmasq(world.directory, RECORDS)
    world.started.append(lambda: dns.stop())
    twin = Twin(world, [job(n, e) for n, e in JOBS.items()] + [job("mixed", MIXED)], options=["--sd.init-timeout=5s"])
    found = {n: twin.settle(n, until=lambda t, n=n: bool(t["active"]) or n == "none") for n in JOBS}
    assert {n: len(f["active"]) for n, f in found.items()} == {
        "srv": 4, "a": 2, "aaaa": 1, "mx": 2, "search": 1, "big": 150, "none": 0}
    assert addresses(found["aaaa"]) == ["[2001:db8::1]:9100"]
    mixed = twin.settle("mixed", command=False)
    assert addresses(mixed) == ["192.0.2.1:80"]
    code, out, err = check_sd(twin.config_path, "mixed", timeout="3s")
    assert code == 1 and len(json.loads(out)) == 1 and "refused.example.org" in err

    # Some records go, one changes, one comes.
    dns.stop()
    dns = Dnsmasq(world.directory, ["host-record=a.example.test,192.0.2.77", "host-record=nowhere.x.other.test,192.0.2.78",
                                    "srv-host=_web._tcp.example.test,c.example.test,1"])
    expected = {"srv": ["c.example.test:1"] * 2, "a": ["192.0.2.77:9100"], "aaaa": [], "mx": [], "big": [], "none": [],
                "search": ["192.0.2.2:80", "192.0.2.78:80"]}  # b itself is refused now: it keeps what it had
    for name, wanted in expected.items():
        found[name] = twin.settle(name, until=lambda t, w=wanted: addresses(t) == w, command=name != "search")
    mixed = twin.settle("mixed", other_than=mixed, command=False)

    # Nobody answers: everything stays.
    dns.stop()
    before = failures(twin)
    wait_for("failing refreshes", 40, lambda: failures(twin) >= before + 5 * len(JOBS))
    for name in JOBS:
        assert twin.prometheus_targets(name) == found[name] == twin.kvass_targets(name)
    dns = Dnsmasq(world.directory, RECORDS)
    assert len(twin.settle("srv", other_than=found["srv"])["active"]) == 4


def test_name_servers(world):
    """NS came after 2.42: without its Prometheus."""
    dns = Dnsmasq(world.directory, RECORDS)
    world.started.append(lambda: dns.stop())
    world.configure([job("ns", {"names": ["example.test"], "type": "NS", "port": 53})])
    code, out, err = check_sd(os.path.join(world.directory, "prometheus.yml"), "ns")
    (target,) = json.loads(out)
    assert code == 0, err
    assert {k: v for k, v in target["discoveredLabels"].items() if k == "__address__" or k.startswith("__meta_")} == {
        "__address__": "ns.example.test:53", "__meta_dns_name": "example.test", "__meta_dns_ns_record_target": "ns.example.test."}


def failures(twin):
    return sum(float(line.split()[-1]) for line in twin.metrics().splitlines()
               if line.startswith("kvass_discovery_refresh_failures_total{") and 'mechanism="dns_sd_configs"' in line)


@pytest.mark.parametrize("entry,says", [
    ({}, "names"), ({"names": []}, "names"), ({"names": ["x"], "type": "TXT"}, "type"), ({"names": ["x"], "type": "A"}, "port"),
    ({"names": ["x"], "refresh_interval": "0s"}, "refresh_interval"), ({"names": ["x"], "server": "1.2.3.4"}, "server"),
])
def test_entries_refused(world, entry, says):
    world.configure([{"job_name": "x", "dns_sd_configs": [entry]}])
    code, _, err = check_sd(os.path.join(world.directory, "prometheus.yml"), "x")
    assert code == 1 and says in err and "expected" in err and ":1:" in err
