"""consul_sd_configs against an agent of ours that speaks Consul's HTTP API with blocking queries. (Debian's Prometheus is built
without this mechanism and Debian has no Consul: what is expected here follows from Consul's and Prometheus' documentation.)"""
import json
import os
import threading
import time
import urllib.parse

import pytest
from discovery_twin import Server, check_sd
from harness import http, wait_for


def instance(service, ident, port, address="", node="n1", node_address="192.0.2.1", tags=("prod",), status="passing", **meta):
    return {"Node": {"ID": "u", "Node": node, "Address": node_address, "Datacenter": "dc1", "TaggedAddresses": {"lan": node_address, "wan.v4": "198.51.100.1"},
                     "Meta": {"rack-id": "r1"}},
            "Service": {"ID": ident, "Service": service, "Tags": list(tags), "Address": address, "Port": port, "Meta": meta, "Namespace": "ns1", "Partition": "part1"},
            "Checks": [{"Node": node, "CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "c", "Status": status}]}


class Agent(Server):
    """An index for all; a query with the index it has seen waits for the next change, or until its wait is over."""

    def __init__(self):
        self.changed = threading.Condition()
        self.index, self.fail, self.seen, self.waiting, self.no_index = 10, False, [], 0, False
        self.services = {}
        super().__init__(self.answer)

    def set(self, services, index=None):
        with self.changed:
            self.services = services
            self.index = index if index is not None else self.index + 1
            self.changed.notify_all()

    def wait(self, query):
        index = int(query.get("index", ["0"])[0])
        seconds = float(query.get("wait", ["0ms"])[0].removesuffix("ms")) / 1000
        with self.changed:
            self.waiting += 1
            if index and index == self.index:
                self.changed.wait_for(lambda: index != self.index or self.fail, timeout=min(seconds, 60))
            self.waiting -= 1
            return self.services, self.index

    def answer(self, request):
        url = urllib.parse.urlsplit(request[":path"])
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        self.seen.append((urllib.parse.unquote(url.path), query, request))
        if self.fail:
            return 500, {}, b"rpc error: No cluster leader"
        if url.path == "/v1/agent/self":
            return 200, {}, json.dumps({"Config": {"Datacenter": "dc1", "NodeName": "n1"}}).encode()
        services, index = self.wait(query)
        if self.fail:
            return 500, {}, b"rpc error: No cluster leader"
        if url.path == "/v1/catalog/services":
            found = {name: sorted({t for i in l if i and i["Service"] for t in i["Service"]["Tags"]}) for name, l in services.items()}
        else:
            name = urllib.parse.unquote(url.path.removeprefix("/v1/health/service/"))
            found = [i for i in services.get(name, []) if "tag" not in query or set(query["tag"]) <= set(i["Service"]["Tags"])]
        return 200, {} if self.no_index else {"X-Consul-Index": str(index)}, json.dumps(found).encode()


WEB = [instance("web", "web-1", 8080, version="1"), instance("web", "web-2", 8081, address="fd00::2", tags=["prod", "v6"], status="critical")]
DB = [instance("db", "db-1", 5432, node="n2", node_address="192.0.2.2", tags=[], status="warning")]
ODD = {"my service/1": [instance("my service/1", "o", 1, tags=["dev"])]}


@pytest.fixture
def agent(world):
    return world.keep(Agent())


def configure(world, agent, **entry):
    world.configure([{"job_name": "consul", "relabel_configs": [{"source_labels": ["__meta_consul_service_id"], "target_label": "id"}],
                      "consul_sd_configs": [{"server": agent.address, "refresh_interval": "200ms", **entry}]}], interval="1d")
    return os.path.join(world.directory, "prometheus.yml")


def discovered(world, agent, version="2.42", env=None, **entry):
    code, out, err = check_sd(configure(world, agent, **entry), "consul", options=[f"--prometheus.version={version}"], env=env)
    assert code == 0, err
    return {t["discoveredLabels"]["__address__"]: {k: v for k, v in t["discoveredLabels"].items() if k.startswith("__meta_")} for t in json.loads(out)}


def test_labels(world, agent):
    agent.set({"web": WEB, "db": DB, **ODD})
    found = discovered(world, agent)
    assert sorted(found) == ["192.0.2.1:1", "192.0.2.1:8080", "192.0.2.2:5432", "[fd00::2]:8081"]
    m = "__meta_consul_"
    assert found["192.0.2.1:8080"] == {
        m + "service": "web", m + "dc": "dc1", m + "address": "192.0.2.1", m + "node": "n1", m + "namespace": "ns1", m + "partition": "part1",
        m + "tags": ",prod,", m + "service_port": "8080", m + "service_id": "web-1", m + "health": "passing", m + "metadata_rack_id": "r1",
        m + "service_metadata_version": "1", m + "tagged_address_lan": "192.0.2.1", m + "tagged_address_wan_v4": "198.51.100.1"}
    v6 = found["[fd00::2]:8081"]
    assert (v6[m + "service_address"], v6[m + "tags"], v6[m + "health"]) == ("fd00::2", ",prod,v6,", "critical")
    assert (found["192.0.2.2:5432"][m + "tags"], found["192.0.2.2:5432"][m + "health"]) == (",,", "warning")
    assert found["192.0.2.1:1"][m + "service"] == "my service/1"


def test_what_is_asked_for(world, agent):
    agent.set({"web": WEB, "db": DB, **ODD})
    found = discovered(world, agent, services=["web", "db"], tags=["prod", "v6"], tag_separator="|", datacenter="dc 2", namespace="n/s",
                       partition="p", node_meta={"a": "b&c", "d": "e"}, allow_stale=False, filter='Meta.x == "y"', token="s3cret", version="3.5")
    assert list(found) == ["[fd00::2]:8081"] and found["[fd00::2]:8081"]["__meta_consul_tags"] == "|prod|v6|"
    assert found["[fd00::2]:8081"]["__meta_consul_dc"] == "dc 2"
    (catalog,) = [s for s in agent.seen if s[0] == "/v1/catalog/services" and "index" not in s[1]]
    (health,) = [s for s in agent.seen if s[0] == "/v1/health/service/web" and "index" not in s[1]]
    for path, query, request in (catalog, health):
        assert request["X-Consul-Token"] == "s3cret" and "stale" not in query
        assert (query["dc"], query["ns"], query["partition"], query["wait"]) == (["dc 2"], ["n/s"], ["p"], ["120000ms"])
        assert sorted(query["node-meta"]) == ["a:b&c", "d:e"]
    assert catalog[1]["filter"] == ['Meta.x == "y"'] and sorted(health[1]["tag"]) == ["prod", "v6"]
    assert not any(s[0] in ("/v1/agent/self", "/v1/health/service/my service/1", "/v1/health/service/db") for s in agent.seen)


def test_credentials(world, agent):
    agent.set({"web": WEB})
    token_file = os.path.join(world.directory, "token")
    with open(token_file, "w") as f:
        f.write("from-file\n")
    discovered(world, agent, services=["web"], authorization={"credentials_file": token_file})
    assert agent.seen[-1][2]["Authorization"] == "Bearer from-file"
    discovered(world, agent, services=["web"], username="u", password="p")
    assert agent.seen[-1][2]["Authorization"] == "Basic dTpw"
    discovered(world, agent, services=["web"], env={"CONSUL_HTTP_TOKEN_FILE": token_file})
    assert agent.seen[-1][2]["X-Consul-Token"] == "from-file"
    discovered(world, agent, services=["web"], env={"CONSUL_HTTP_TOKEN": "from-env"})
    assert agent.seen[-1][2]["X-Consul-Token"] == "from-env"
    # Named services without tags need no catalog.
    assert not any(s[0] == "/v1/catalog/services" for s in agent.seen)


def appliance(world, agent, **entry):
    configure(world, agent, **entry)
    a = world.appliance("--target.grace=0s")
    a.wait_ready()
    return a


def addresses(kvass):
    return sorted(t["discoveredLabels"]["__address__"] for t in kvass.targets())


def test_changes_arrive_by_blocking_queries(world, agent):
    agent.set({"web": WEB, "db": DB})
    kvass = appliance(world, agent)
    wait_for("three instances", 20, lambda: len(addresses(kvass)) == 3)
    wait_for("three queries that wait", 20, lambda: agent.waiting == 3)
    asked = len(agent.seen)
    time.sleep(2)
    assert len(agent.seen) == asked  # nobody asks while nothing changes
    agent.set({"web": WEB[:1], "db": DB, **ODD})
    wait_for("an instance gone, a service come", 20, lambda: addresses(kvass) == ["192.0.2.1:1", "192.0.2.1:8080", "192.0.2.2:5432"])
    agent.set({"web": WEB})
    wait_for("two services gone", 20, lambda: addresses(kvass) == ["192.0.2.1:8080", "[fd00::2]:8081"])
    asked = len(agent.seen)
    # The agent lost its state: the index goes backwards, and everything is asked for anew.
    agent.set({"db": DB}, index=3)
    wait_for("the state after the index went backwards", 20, lambda: addresses(kvass) == ["192.0.2.2:5432"])
    assert not any("my service" in s[0] for s in agent.seen[asked:])  # nobody asks for what is gone
    agent.set({"db": DB, "web": WEB[:1]})
    wait_for("a change after that", 20, lambda: len(addresses(kvass)) == 2)
    agent.set({})
    wait_for("nothing", 20, lambda: addresses(kvass) == [])


def test_failures_keep_the_last_groups(world, agent):
    agent.set({"web": WEB})
    kvass = appliance(world, agent)
    wait_for("two instances", 20, lambda: len(addresses(kvass)) == 2)
    agent.fail = True
    with agent.changed:
        agent.changed.notify_all()
    metric = 'kvass_discovery_refresh_failures_total{scrape_job="consul",mechanism="consul_sd_configs"}'

    def failures():
        text = http(kvass.url + "/metrics")[1]
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(metric))

    wait_for("failures", 20, lambda: failures() >= 4)
    assert len(addresses(kvass)) == 2 and "No cluster leader" in kvass.output()
    agent.fail = False
    agent.set({"web": WEB[:1]})
    wait_for("the change after the failure", 40, lambda: addresses(kvass) == ["192.0.2.1:8080"])


def test_an_agent_without_an_index_is_polled(world, agent):
    agent.no_index = True
    agent.set({"web": WEB})
    kvass = appliance(world, agent, services=["web"])
    wait_for("two instances", 20, lambda: len(addresses(kvass)) == 2)
    agent.set({"web": WEB[:1]})
    wait_for("the change", 20, lambda: len(addresses(kvass)) == 1)
    assert all("index" not in s[1] for s in agent.seen)


def test_bad_instances_cost_themselves(world, agent):
    agent.set({"web": [*WEB, None, {"Node": {}, "Service": None}, instance("web", "x", "80")], "db": DB})
    assert len(discovered(world, agent)) == 3


@pytest.mark.parametrize("entry,says", [
    ({"server": ""}, "server"), ({"server": "ftp://x"}, "unix://"), ({"datacentre": "x"}, "datacenter"), ({"tags": "x"}, "tags"),
    ({"username": "u", "basic_auth": {"username": "x"}}, "basic_auth"), ({"refresh_interval": "0s"}, "refresh_interval"),
    ({"token": "t", "authorization": {"credentials": "x"}}, "token together"), ({"token": "t", "oauth2": {}}, "token together"),
])
def test_entries_refused(world, entry, says):
    world.configure([{"job_name": "x", "consul_sd_configs": [entry]}])
    code, _, err = check_sd(os.path.join(world.directory, "prometheus.yml"), "x")
    assert code == 1 and says in err and "expected" in err and ":1:" in err
