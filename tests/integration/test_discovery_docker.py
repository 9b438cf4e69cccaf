"""docker_sd_configs and dockerswarm_sd_configs against a real Prometheus: both ask an engine of ours that speaks the Engine API on
a unix socket and on TCP."""
import json
import os
import urllib.parse

import pytest
from discovery_twin import Server, Twin, check_sd
from harness import wait_for


def container(ident, name, networks, ports=(), mode="bridge", **labels):
    return {"Id": ident, "Names": [name, "/alias" + name] if name else [], "Image": "img", "Labels": labels,
            "HostConfig": {"NetworkMode": mode}, "Ports": list(ports), "State": "running", "Created": 1700000000,
            "NetworkSettings": {"Networks": {n: {"NetworkID": "id-" + n, "IPAddress": ip, "MacAddress": ""} for n, ip in networks.items()}}}


def port(private, public=0, ip=None, kind="tcp"):
    return {"PrivatePort": private, "Type": kind, **({"PublicPort": public, "IP": ip or "0.0.0.0"} if public else {})}


CONTAINERS = [
    container("c1", "/web", {"bridge": "172.17.0.2"}, [port(80, 8080), port(443), port(53, kind="udp")], **{"com.x/role": "web", "grün": "ja"}),
    container("c2", "/two-networks", {"bridge": "172.17.0.3", "apps": "10.9.0.3"}, [port(9090)]),
    container("c3", "/no-port", {"bridge": "172.17.0.4"}, [port(53, kind="udp")]),
    container("c4", "/host", {"host": ""}, mode="host"),
    container("c5", "/v6", {"six": "fd00::5"}, [port(81, 8081, "::")], mode="six"),
    container("c6", "/sidecar", {}, mode="container:c1"),
    container("c7", "/unknown-network", {"gone": "10.8.0.1"}, mode="gone"),
    container("c8", "", {"bridge": "172.17.0.9"}),
]
NETWORKS = [
    {"Id": "id-bridge", "Name": "bridge", "Scope": "local", "Internal": False, "Ingress": False, "Labels": {"a-b": "c"}},
    {"Id": "id-apps", "Name": "apps", "Scope": "swarm", "Internal": True, "Ingress": True, "Labels": None},
    {"Id": "id-host", "Name": "host", "Scope": "local", "Internal": False, "Ingress": False, "Labels": {}},
    {"Id": "id-six", "Name": "six", "Scope": "local", "Internal": False, "Ingress": False, "Labels": {}},
]


def service(ident, name, vips, ports, mode="Replicated", **more):
    return {"ID": ident, "Version": {"Index": 7}, "Spec": {"Name": name, "Labels": {"stack.name": "s"}, "Mode": {mode: {}}, "TaskTemplate": {
        "ContainerSpec": {"Image": "i:1", "Hostname": "h-" + name}}}, "Endpoint": {"Spec": {}, "Ports": ports, "VirtualIPs": vips}, **more}


SERVICES = [
    service("s1", "web", [{"NetworkID": "id-bridge", "Addr": "10.0.0.2/24"}, {"NetworkID": "id-apps", "Addr": "fd00::2/64"}],
            [{"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
             {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"}], UpdateStatus={"State": "completed"}),
    service("s2", "plain", [{"NetworkID": "id-apps", "Addr": "10.1.0.2/24"}], None, mode="Global"),
    service("s3", "no-vip", None, None, mode="ReplicatedJob"),
]
NODES = [
    {"ID": "n1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"disk.kind": "ssd"}}, "Description": {
        "Hostname": "m1", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "20.10.24"}},
     "Status": {"State": "ready", "Addr": "192.0.2.1"}, "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.1:2377"}},
    {"ID": "n2", "Spec": {"Role": "worker", "Availability": "drain", "Labels": {}}, "Description": {
        "Hostname": "w1", "Platform": {"Architecture": "aarch64", "OS": "linux"}, "Engine": {"EngineVersion": "20.10.24"}},
     "Status": {"State": "down", "Addr": "fd00::9"}},
]


def task(ident, serv, node, addresses, ports=None, **more):
    return {"ID": ident, "Slot": 3, "ServiceID": serv, "NodeID": node, "DesiredState": "running", "Spec": {"ContainerSpec": {"Labels": {"l.m": "n"}}},
            "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c-" + ident}, "PortStatus": {"Ports": ports}},
            "NetworksAttachments": [{"Network": {"ID": "id-apps"}, "Addresses": addresses}], **more}


TASKS = [
    task("t1", "s1", "n1", ["10.0.0.7/24"], [{"Protocol": "tcp", "PublishedPort": 81, "PublishMode": "host"}, {"Protocol": "udp", "PublishedPort": 82}]),
    task("t2", "s2", "n2", ["10.0.0.8/24", "fd00::8/64"]),
    task("t3", "gone", "gone", ["10.0.0.9/24"], [{"Protocol": "tcp", "PublishedPort": 83, "PublishMode": "host"}]),
    {"ID": "t4", "DesiredState": "shutdown", "Status": {"State": "failed", "PortStatus": {}}, "Spec": {}},
]


class Engine(Server):
    def __init__(self, **more):
        self.lists = {"/containers/json": CONTAINERS, "/networks": NETWORKS, "/services": SERVICES, "/tasks": TASKS, "/nodes": NODES}
        self.fail, self.seen = {}, []
        super().__init__(self.answer, **more)

    def answer(self, request):
        self.seen.append(request)
        url = urllib.parse.urlsplit(request[":path"])
        headers = {"Api-Version": "1.41", "Content-Type": "application/json", "Server": "Docker/20.10.24 (linux)"}
        if url.path == "/_ping":
            return 200, {**headers, "Content-Type": "text/plain"}, b"OK"
        version, path = url.path.split("/", 2)[1:]
        if "/" + path in self.fail:
            return 500, headers, b'{"message":"no"}'
        filters = json.loads(urllib.parse.parse_qs(url.query).get("filters", ["{}"])[0])
        found = self.lists["/" + path]
        if found is not None and "id" in filters:
            found = [o for o in found if o.get("Id", o.get("ID")) in filters["id"]]
        return (200 if version == "v1.41" else 400), headers, json.dumps(found).encode()


def jobs(host):
    common = {"host": host, "refresh_interval": "1s"}
    swarm = {role: {"job_name": role, "dockerswarm_sd_configs": [{**common, "role": role, "port": 9323}]} for role in ("services", "tasks", "nodes")}
    return [{"job_name": "docker", "docker_sd_configs": [{**common, "port": 9100, "host_networking_host": "node.example"}]},
            {"job_name": "filtered", "docker_sd_configs": [{**common, "filters": [{"name": "id", "values": ["c1", "c3"]}]}]},
            *swarm.values()]


@pytest.mark.parametrize("kind", ["unix", "tcp", "http"])
def test_engine_equals_prometheus(world, kind):
    engine = world.keep(Engine(unix_path=os.path.join(world.directory, "d.sock")) if kind == "unix" else Engine())
    host = f"unix://{world.directory}/d.sock" if kind == "unix" else f"{kind}://{engine.address}"
    twin = Twin(world, jobs(host))
    found = {name: twin.settle(name) for name in ("docker", "filtered", "services", "tasks", "nodes")}
    # Two of the containers have no network of their own in 2.42, or no name.
    assert {n: len(f["active"]) for n, f in found.items()} == {"docker": 8, "filtered": 3, "services": 3, "tasks": 6, "nodes": 2}
    if kind != "unix":
        return

    engine.lists = {**engine.lists, "/containers/json": CONTAINERS[2:4], "/nodes": None, "/tasks": TASKS[1:2]}
    assert len(twin.settle("docker", other_than=found["docker"])["active"]) == 2
    assert twin.settle("nodes", until=lambda t: not t["active"])
    tasks = twin.settle("tasks", other_than=found["tasks"])

    # A list that fails keeps everything, also what other lists say of it.
    engine.fail = {"/networks"}
    engine.lists = {**engine.lists, "/containers/json": CONTAINERS, "/tasks": TASKS, "/nodes": NODES}
    before = len(engine.seen)
    wait_for("more refreshes", 30, lambda: len(engine.seen) >= before + 60)
    assert len(twin.prometheus_targets("docker")["active"]) == 2 == len(twin.kvass_targets("docker")["active"])
    assert twin.prometheus_targets("tasks") == tasks == twin.kvass_targets("tasks")
    engine.fail = {}
    for name in ("docker", "tasks"):
        assert twin.settle(name, until=lambda t, n=name: t == found[n])


def test_requests_are_prometheus(world):
    engine = world.keep(Engine())
    twin = Twin(world, jobs(f"http://{engine.address}"), appliance=False)
    for name in ("docker", "filtered", "services", "tasks", "nodes"):
        twin.settle(name)
    paths = {who: {r[":path"] for r in engine.seen if r["User-Agent"].startswith(who)} for who in ("Prometheus", "kvass")}
    assert paths["kvass"] == paths["Prometheus"]


def test_bad_objects_cost_themselves_and_newer_networks(world):
    """What Prometheus ends a refresh for, or came after 2.42."""
    engine = world.keep(Engine())
    engine.lists["/containers/json"] = [*CONTAINERS, {**CONTAINERS[0], "Id": 7}, None, [], {**CONTAINERS[0], "Ports": [{"Type": "tcp", "PrivatePort": 1e9}]}]
    engine.lists["/services"] = [*SERVICES, service("s9", "bad", [{"Addr": "nonsense"}], None)]
    world.configure(jobs(f"tcp://{engine.address}"))
    path = os.path.join(world.directory, "prometheus.yml")
    for name, count in (("docker", 8), ("services", 3)):
        code, out, err = check_sd(path, name)
        assert code == 0 and len(json.loads(out)) == count, err
    code, out, err = check_sd(path, "docker", options=["--prometheus.version=3.5"])
    found = {t["discoveredLabels"]["__meta_docker_container_name"]: t["discoveredLabels"]["__address__"] for t in json.loads(out)}
    assert found["/two-networks"] == "10.9.0.3:9090"  # the first network by name
    assert found["/sidecar"] == "172.17.0.2:9100"  # the network it shares


@pytest.mark.parametrize("key,entry,says", [
    ("docker", {}, "host"), ("docker", {"host": "localhost:2375"}, "unix://"), ("docker", {"host": "ssh://x"}, "unix://"),
    ("docker", {"host": "tcp://"}, "unix://"), ("docker", {"host": "tcp://x", "role": "nodes"}, "role"),
    ("docker", {"host": "tcp://x", "filters": [{"nam": "x"}]}, "nam"), ("dockerswarm", {"host": "tcp://x"}, "role"),
    ("dockerswarm", {"host": "tcp://x", "role": "pods"}, "role"), ("dockerswarm", {"role": "nodes"}, "host"),
    ("dockerswarm", {"host": "tcp://x", "role": "nodes", "refresh_interval": "0s"}, "refresh_interval"),
])
def test_entries_refused(world, key, entry, says):
    world.configure([{"job_name": "x", f"{key}_sd_configs": [entry]}])
    code, _, err = check_sd(os.path.join(world.directory, "prometheus.yml"), "x")
    assert code == 1 and says in err and "expected" in err and ":1:" in err
