"""kubernetes_sd_configs on a real API server: kvass finds what Prometheus finds, label for label, in every role, and still does after
changes, outages and expired watches. The oracle is a real Prometheus with the same configuration (2.53 and 3.5; Debian 12's own 2.42 is
built without Kubernetes)."""
import json
import os
import signal
import subprocess
import time

import harness
import plane
import pytest
from harness import Appliance, Process, free_ports, get_data, http, wait_for, write

FOLDER = os.environ.get("KVASS_PROMETHEUS_DIR") or os.path.expanduser("~/.cache/kvass-prometheus")
ROLES = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"]


def oracles():
    found = []
    for name in sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []:
        program = os.path.join(FOLDER, name, "prometheus")
        if name[0].isdigit() and os.access(program, os.X_OK) and tuple(map(int, name.split("."))) >= (2, 45):
            found.append((name, program))
    return found


# ---------------------------------------------------------------------------------------------------- objects


def pod(name, namespace="demo", node="node-a", labels=None, containers=None, init=None, owner=None):
    meta = {"name": name, "namespace": namespace, "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Thing", "name": "not-me", "uid": "0"},
                                   {"apiVersion": "apps/v1", "controller": True, "uid": "1", **owner}]
    spec = {"containers": containers or [{"name": "main", "image": "image:1", "ports": [{"name": "http", "containerPort": 8080}]}]}
    if node:
        spec["nodeName"] = node
    if init:
        spec["initContainers"] = init
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def status(ip, phase="Running", ready=True, ids=()):
    s = {"phase": phase, "hostIP": "192.0.2.1", "conditions": [{"type": "PodScheduled", "status": "True"}]}
    if ip:
        s["podIP"], s["podIPs"] = ip, [{"ip": ip}]
    if ready is not None:
        s["conditions"].append({"type": "Ready", "status": "True" if ready else "False"})
    s["containerStatuses"] = [{"name": n, "containerID": i, "image": "x", "imageID": "y", "ready": True, "restartCount": 0} for n, i in ids]
    return {"status": s}


class Cluster:
    def __init__(self):
        self.api = plane.Api()

    def put_pod(self, body, state):
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        self.api.create(f"/api/v1/namespaces/{namespace}/pods", body)
        self.api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", state, plane.STRATEGIC)

    def fill(self):
        api = self.api
        for name in ("demo", "other"):
            api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {"team": name}}})
        for i, name in enumerate(("node-a", "node-b", "node-c", "node-d")):
            api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": {"zone": f"z{i}", "kubernetes.io/os": "linux"},
                                                      "annotations": {"a/b.c": "note"}}, "spec": {"providerID": f"cloud://{i}"}})
        addresses = [[("Hostname", "a"), ("InternalIP", "192.0.2.1"), ("InternalIP", "192.0.2.2"), ("ExternalIP", "198.51.100.1")],
                     [("Hostname", "b"), ("ExternalDNS", "b.example.org")], [], [("ExternalIP", "2001:db8::d")]]
        for name, list_ in zip(("node-a", "node-b", "node-c", "node-d"), addresses):
            api.patch(f"/api/v1/nodes/{name}/status", {"status": {
                "addresses": [{"type": t, "address": a} for t, a in list_],
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
                **({"daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}} if name == "node-a" else {})}}, plane.STRATEGIC)
        self.fill_pods()
        self.fill_services()
        self.fill_ingresses()

    def fill_pods(self):
        two = [{"name": "web", "image": "web:2", "ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9000}]},
               {"name": "dns", "image": "dns:1", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]
        self.put_pod(pod("web-0", labels={"app": "web", "tier": "front.end"}, containers=two,
                         init=[{"name": "setup", "image": "busybox"}, {"name": "side", "image": "side:1", "ports": [{"containerPort": 7000}]}],
                         owner={"kind": "ReplicaSet", "name": "web-rs"}),
                     status("10.1.0.1", ids=[("web", "docker://web0"), ("dns", "docker://dns0")]))
        self.put_pod(pod("web-1", node="node-b", labels={"app": "web"}, containers=two), status("10.1.0.2", ready=False))
        self.put_pod(pod("portless", labels={"app": "none"}, containers=[{"name": "c", "image": "c:1"}]), status("10.1.0.3", ready=None))
        self.put_pod(pod("six", labels={"app": "six"}), status("fd00::6", phase="Succeeded"))
        self.put_pod(pod("pending", labels={"app": "web"}, node=None), status(None, phase="Pending", ready=None))
        self.put_pod(pod("lost", labels={"app": "lost"}, node="no-such-node"), status("10.1.0.9", phase="Failed"))
        self.put_pod(pod("web-0", namespace="other", labels={"app": "web"}), status("10.1.0.1"))

    def fill_services(self):
        api = self.api
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        for name, namespace, spec in [
                ("web", "demo", {"selector": {"app": "web"}, "ports": ports}),
                ("headless", "demo", {"selector": {"app": "web"}, "ports": ports + [{"name": "extra", "port": 1234, "protocol": "UDP"}],
                                      "clusterIP": "None"}),
                ("balanced", "demo", {"type": "LoadBalancer", "loadBalancerIP": "203.0.113.7", "ports": ports}),
                ("named", "demo", {"type": "ExternalName", "externalName": "www.example.org", "ports": ports}),
                ("six", "demo", {"selector": {"app": "six"}, "ports": ports}),
                ("manual", "demo", {"ports": [{"port": 9100}]}),
                ("web", "other", {"type": "NodePort", "selector": {"app": "web"}, "ports": ports})]:
            api.create(f"/api/v1/namespaces/{namespace}/services", {"metadata": {
                "name": name, "labels": {"app": name, "k8s-app.io/x": "y"}, "annotations": {"prometheus.io/scrape": "true"}}, "spec": spec})
        api.create("/api/v1/namespaces/demo/endpoints", {
            "metadata": {"name": "manual", "labels": {"hand": "made"}},
            "subsets": [{"addresses": [{"ip": "192.0.2.1", "nodeName": "node-a", "targetRef": {"kind": "Node", "name": "node-a"}},
                                       {"ip": "192.0.2.9", "targetRef": {"kind": "Node", "name": "node-b"}},
                                       {"ip": "192.0.2.8", "hostname": "by-name"},
                                       {"ip": "10.1.0.9", "targetRef": {"kind": "Pod", "namespace": "demo", "name": "lost"}}],
                         "notReadyAddresses": [{"ip": "10.1.0.99", "targetRef": {"kind": "Pod", "namespace": "demo", "name": "gone"}}],
                         "ports": [{"name": "one", "port": 9100}, {"name": "two", "port": 8080, "protocol": "TCP"}]},
                        {"addresses": [{"ip": "192.0.2.77"}]}]})
        api.create("/apis/discovery.k8s.io/v1beta1/namespaces/demo/endpointslices", {
            "metadata": {"name": "hand", "labels": {"kubernetes.io/service-name": "manual"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.5", "192.0.2.6"], "conditions": {"ready": True}, "hostname": "h",
                           "topology": {"topology.kubernetes.io/zone": "z1"}},
                          {"addresses": ["192.0.2.7"], "targetRef": {"kind": "Node", "name": "node-a"}}],
            "ports": [{"name": "x", "port": 9100, "appProtocol": "http"}, {"name": "all"}]})

    def fill_ingresses(self):
        backend = {"service": {"name": "web", "port": {"number": 80}}}

        def path(p):
            return {"pathType": "ImplementationSpecific", "backend": backend, **({"path": p} if p else {})}
        self.api.create("/apis/networking.k8s.io/v1/namespaces/demo/ingresses", {
            "metadata": {"name": "ingress", "annotations": {"x": "y"}},
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example.org", "b.example.com"]}],
                     "rules": [{"host": "a.example.org", "http": {"paths": [path("/x"), path("/y"), path("")]}},
                               {"host": "a.b.example.org", "http": {"paths": [path("/deep")]}},
                               {"host": "b.example.com"}, {"host": "*.example.org", "http": {"paths": [path("/w")]}},
                               {"http": {"paths": [path("/nohost")]}}]}})
        self.api.create("/apis/networking.k8s.io/v1/namespaces/other/ingresses", {
            "metadata": {"name": "bare"}, "spec": {"defaultBackend": backend, "rules": [{"host": "c.example.net"}]}})


# ---------------------------------------------------------------------------------------------------- both sides


def sd(role, **more):
    return {"role": role, "kubeconfig_file": os.environ["KUBECONFIG"], **more}


def jobs(client=None, roles=ROLES):
    """Every role in every variant that makes a difference."""
    variants = {r: sd(r) for r in roles}
    variants["pod-namespaces"] = sd("pod", namespaces={"names": ["other", "demo", "nowhere"]})
    variants["pod-selected"] = sd("pod", selectors=[{"role": "pod", "label": "app in (web,six)", "field": "status.phase=Running"}])
    variants["pod-node"] = sd("pod", attach_metadata={"node": True})
    variants["service-one"] = sd("service", namespaces={"names": ["demo"]}, selectors=[{"role": "service", "field": "metadata.name=web"}])
    variants["endpoints-node"] = sd("endpoints", attach_metadata={"node": True})
    variants["endpoints-selected"] = sd("endpoints", selectors=[{"role": "pod", "label": "tier"}, {"role": "service", "label": "app=web"},
                                                                {"role": "endpoints", "label": "app"}])
    if "endpointslice" in roles:
        variants["endpointslice-node"] = sd("endpointslice", attach_metadata={"node": True}, namespaces={"names": ["demo"]})
    variants["node-selected"] = sd("node", selectors=[{"role": "node", "label": "zone!=z1"}])
    if client:
        for v in variants.values():
            del v["kubeconfig_file"]
            v.update(client)
    # Addresses without a host or with one that is refused would be errors of the target, not of discovery.
    # Of targets that differ in what they were discovered with only, Prometheus keeps any: so all of that becomes labels.
    fix = [{"source_labels": ["__address__"], "regex": "", "target_label": "__address__", "replacement": "none.invalid"},
           {"action": "labelmap", "regex": "__meta_kubernetes_(.+)", "replacement": "k_$1"}]
    return [{"job_name": n, "kubernetes_sd_configs": [v], "relabel_configs": fix} for n, v in sorted(variants.items())]


def configuration(list_):
    return json.dumps({"global": {"scrape_interval": "5m", "scrape_timeout": "1s"}, "scrape_configs": list_})


class Oracle(Process):
    def __init__(self, program, directory, config_path):
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__([program, f"--config.file={config_path}", f"--storage.tsdb.path={directory}/data", "--log.level=warn",
                          f"--web.listen-address=127.0.0.1:{self.port}"], os.path.join(directory, "prometheus.log"))


# What Prometheus shows of newer versions than the oracle's is compared with the API instead (test_what_oracles_lack).
NEWER = ("__meta_kubernetes_node_condition_",)


def found(url, ignore=()):
    """{job: set of discovered label sets}"""
    all_ = {}
    data = get_data(url + "/api/v1/targets?state=active")
    for t in data["activeTargets"]:
        labels = {k: v for k, v in t["discoveredLabels"].items() if not k.startswith(ignore or ("\0",))}
        all_.setdefault(t["scrapePool"], set()).add(tuple(sorted(labels.items())))
    return all_


def difference(ours, theirs):
    lines = []
    for job in sorted(set(ours) | set(theirs)):
        a, b = ours.get(job, set()), theirs.get(job, set())
        for name, only in (("kvass", a - b), ("Prometheus", b - a)):
            for labels in sorted(only)[:2]:
                best = min((b if name == "kvass" else a), key=lambda o: len(set(o) ^ set(labels)), default=())
                lines.append(f"{job}: only {name}: {dict(labels).get('__address__')}: {sorted(set(labels) ^ set(best))}")
    return "\n".join(lines)


def compare(kvass, oracle, minimum=1, seconds=240, shown=(), gone=()):
    """Waits until both show the same, with these texts in it and without those; what differs otherwise."""
    last = ["nothing yet"]

    def same():
        ours, theirs = found(kvass.url, NEWER), found(oracle.url)
        text = str(ours)
        wrong = [w for w in shown if w not in text] + [w for w in gone if w in text]
        last[0] = difference(ours, theirs) or f"too few targets, or {wrong}"
        return ours == theirs and sum(map(len, ours.values())) >= minimum and not wrong and ours
    try:
        return wait_for("the same targets on both sides", seconds, same, 0.5)
    except TimeoutError:
        pytest.fail(f"kvass and Prometheus differ:\n{last[0]}\n{kvass.output()[-2000:]}", pytrace=False)


def metric(kvass, name, **labels):
    """Sum of the series with these labels."""
    total = 0.0
    for line in http(kvass.url + "/metrics")[1].splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


if plane.is_inside():
    @pytest.fixture(scope="session")
    def cluster():
        c = Cluster()
        c.fill()
        api = c.api
        # The controllers have their endpoints and slices written before anybody looks.
        wait_for("endpoints", 120, lambda: len(api.get("/api/v1/namespaces/demo/endpoints/web")["subsets"]) == 1)
        wait_for("slices", 120, lambda: len(api.get("/apis/discovery.k8s.io/v1beta1/endpointslices")["items"]) >= 5)
        return c

    @pytest.fixture(scope="session")
    def relay():
        r = plane.Relay(("127.0.0.1", 16443))
        yield r
        r.close()

    def sides(tmp, version, program, list_):
        for side in ("kvass", "prometheus"):
            os.makedirs(tmp / side)
            write(tmp / side / "prometheus.yml", configuration(list_))
        oracle = Oracle(program, str(tmp / "prometheus"), str(tmp / "prometheus" / "prometheus.yml"))
        # Nothing is to be scraped here: one shard that takes no target.
        kvass = Appliance(str(tmp / "kvass"), str(tmp / "kvass" / "prometheus.yml"),
                          [f"--prometheus.version={version}", "--shard.max-shard=1", "--coordinator.interval=1s", "--target.grace=0s"], shards_max=1)
        return kvass, oracle

    @pytest.fixture(scope="session", params=oracles(), ids=lambda o: o[0])
    def pair(request, cluster, relay, tmp_path_factory):
        """kvass, through the relay, and an oracle with the same configuration."""
        version, program = request.param
        tmp = tmp_path_factory.mktemp(version)
        write(tmp / "token", "admin-token\n")
        client = {"api_server": f"https://127.0.0.1:{relay.port}", "authorization": {"credentials_file": str(tmp / "token")},
                  "tls_config": {"ca_file": os.environ["KUBE_CA"]}}
        # 3.x knows discovery.k8s.io/v1 only, which this server has not.
        roles = [r for r in ROLES if r != "endpointslice" or version.startswith("2")]
        kvass, oracle = sides(tmp, version, program, jobs(client, roles))
        kvass.token = tmp / "token"
        yield kvass, oracle
        kvass.stop()
        oracle.stop()

    def test_there_is_an_oracle():
        assert oracles(), f"no Prometheus with Kubernetes discovery in {FOLDER}: run scripts/fetch-prometheus"

    def test_every_role_finds_what_prometheus_finds(pair):
        all_ = compare(*pair, minimum=60)
        for name in ("node", "pod", "service", "endpoints", "ingress", "pod-node", "endpoints-node", "endpoints-selected"):
            assert len(all_[name]) >= 1, name
        assert len(all_["node"]) == 3  # the third has no address

    def test_one_watch_serves_all_jobs(pair):
        """pods of all namespaces: roles pod and endpoints and their attach variants share one; selections have their own."""
        kvass, _ = pair
        wait_for("all nodes once, and the selected ones", 60, lambda: metric(kvass, "kvass_k8s_watch_objects", resource="nodes") == 4 + 3)

    def test_changes_are_followed(pair, cluster):
        kvass, oracle = pair
        api = cluster.api
        compare(kvass, oracle)
        name = "late-" + str(kvass.pid)
        cluster.put_pod(pod(name, labels={"app": "late"}), status("10.1.5.5"))
        api.patch("/api/v1/namespaces/demo/pods/portless", {"metadata": {"labels": {"changed": name, "app": None}}})
        api.patch("/api/v1/namespaces/demo/services/web", {"metadata": {"annotations": {"changed": name}}})
        api.patch("/api/v1/nodes/node-d", {"metadata": {"labels": {"zone": "z9"}}})
        api.patch("/apis/networking.k8s.io/v1/namespaces/demo/ingresses/ingress", {"metadata": {"labels": {"changed": name}}})
        compare(kvass, oracle, shown=["10.1.5.5:8080", "__meta_kubernetes_service_annotation_changed", "__meta_kubernetes_pod_label_changed",
                                      "__meta_kubernetes_ingress_label_changed", "'z9'"])
        api.delete(f"/api/v1/namespaces/demo/pods/{name}")
        api.patch("/api/v1/nodes/node-d", {"metadata": {"labels": {"zone": "z4"}}})
        compare(kvass, oracle, gone=["10.1.5.5:8080", "'z9'"])

    def test_connections_cut_in_the_middle(pair, cluster, relay):
        """What happened meanwhile is caught up with, deletions too."""
        kvass, oracle = pair
        compare(kvass, oracle)
        relay.cut()
        cluster.put_pod(pod("while-away", labels={"app": "late"}), status("10.1.6.6"))
        cluster.api.delete("/api/v1/namespaces/demo/pods/six")
        time.sleep(3)
        assert "10.1.6.6" not in str(found(kvass.url)["pod"]) and "fd00::6" in str(found(kvass.url)["pod"]), "the last list stays"
        relay.mend()
        compare(kvass, oracle, shown=["10.1.6.6"], gone=["fd00::6"])
        wait_for("a failure that was counted", 60, lambda: metric(kvass, "kvass_k8s_watch_failures_total") > 0)
        cluster.api.delete("/api/v1/namespaces/demo/pods/while-away")
        cluster.put_pod(pod("six", labels={"app": "six"}), status("fd00::6", phase="Succeeded"))
        compare(kvass, oracle, shown=["fd00::6"], gone=["10.1.6.6"])

    def test_a_killed_server_that_has_forgotten(pair, cluster, relay):
        """kvass is away while things change, and the server is killed: the new one does not know kvass' place any more (410)."""
        kvass, oracle = pair
        api = cluster.api
        compare(kvass, oracle)
        before = metric(kvass, "kvass_k8s_watch_relists_total", reason="expired")
        relay.cut()
        api.delete("/api/v1/namespaces/other/pods/web-0")
        api.patch("/api/v1/namespaces/demo/pods/portless", {"metadata": {"annotations": {"n": f"killed-{kvass.pid}"}}})
        plane.restart("kube-apiserver")
        wait_for("the API server", 180, lambda: api.get("/api/v1/namespaces/demo/pods/portless"))
        relay.mend()
        compare(kvass, oracle, shown=[f"killed-{kvass.pid}"])
        wait_for("a list because of expiry", 180, lambda: metric(kvass, "kvass_k8s_watch_relists_total", reason="expired") > before)
        cluster.put_pod(pod("web-0", namespace="other", labels={"app": "web"}), status("10.1.0.1"))
        compare(kvass, oracle)

    def test_a_server_that_stands_still(pair, cluster):
        kvass, oracle = pair
        compare(kvass, oracle)
        (pid,) = plane.pids("kube-apiserver")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(4)
            assert found(kvass.url)["pod"], "what was found stays"
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("the API server", 180, lambda: cluster.api.get("/api/v1/namespaces/demo/pods/portless"))
        cluster.api.patch("/api/v1/namespaces/demo/pods/portless", {"metadata": {"annotations": {"after": f"after-{kvass.pid}"}}})
        compare(kvass, oracle, shown=[f"after-{kvass.pid}"])

    def test_a_rotated_token_is_read_again(pair, cluster, relay):
        """The old token is refused; the new one is used without a restart."""
        kvass, oracle = pair
        write(kvass.token, "no-such-token\n")
        relay.cut()
        relay.mend()
        wait_for("a refusal", 180, lambda: metric(kvass, "kvass_k8s_requests_total", code="401") > 0)
        cluster.api.patch("/api/v1/namespaces/demo/pods/portless", {"metadata": {"annotations": {"token": f"token-{kvass.pid}"}}})
        write(kvass.token, "admin-token\n")
        compare(kvass, oracle, shown=[f"token-{kvass.pid}"])

    def test_labels_of_pods_and_nodes_reach_the_endpoints(pair, cluster):
        """Prometheus shows them when something else changes, too (so this comes last); kvass at once."""
        kvass, _ = pair
        for path, job in (("/api/v1/namespaces/demo/pods/web-1", "endpoints"), ("/api/v1/nodes/node-b", "endpoints-node")):
            for value in (f"fresh-{kvass.pid}", None):
                cluster.api.patch(path, {"metadata": {"labels": {"fresh": value}}})
                wait_for("the label at the endpoints", 240,
                         lambda: (f"fresh-{kvass.pid}" in str(found(kvass.url)[job])) == (value is not None))

    def check(tmp_path, list_, job, timeout="60s"):
        write(tmp_path / "p.yml", configuration(list_))
        return subprocess.run([harness.KVASS, "check", "service-discovery", f"--timeout={timeout}", str(tmp_path / "p.yml"), job],
                              capture_output=True, text=True, timeout=180)

    def test_check_service_discovery(cluster, tmp_path):
        done = check(tmp_path, [{"job_name": "p", "kubernetes_sd_configs": [sd("pod")]}], "p")
        assert done.returncode == 0, done.stderr
        addresses = {t["discoveredLabels"]["__address__"] for t in json.loads(done.stdout)}
        assert {"10.1.0.1:8080", "10.1.0.3", "[fd00::6]:8080"} <= addresses

    def test_what_oracles_lack(cluster, tmp_path):
        """Newer than the oracles: node conditions, namespace labels, owners above owners; against the API's own words."""
        api = cluster.api
        rs = {"metadata": {"name": "web-rs2", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-d",
                                                                   "uid": "1", "controller": True}]},
              "spec": {"replicas": 0, "selector": {"matchLabels": {"z": "z"}}, "template": {
                  "metadata": {"labels": {"z": "z"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}}}
        api.create("/apis/apps/v1/namespaces/other/replicasets", rs)
        cluster.put_pod(pod("owned", namespace="other", owner={"kind": "ReplicaSet", "name": "web-rs2"}), status("10.1.9.1"))
        attach = {"namespace": True, "deployment": True, "job": True, "cronjob": True}
        done = check(tmp_path, [{"job_name": "p", "kubernetes_sd_configs": [sd("pod", namespaces={"names": ["other"]}, attach_metadata=attach)]},
                                {"job_name": "n", "kubernetes_sd_configs": [sd("node")]}], "p")
        assert done.returncode == 0, done.stderr
        labels = [t["discoveredLabels"] for t in json.loads(done.stdout)]
        owned = next(t for t in labels if t["__meta_kubernetes_pod_name"] == "owned")
        assert owned["__meta_kubernetes_pod_deployment_name"] == "web-d"
        assert owned["__meta_kubernetes_namespace_label_team"] == "other"
        assert "__meta_kubernetes_namespace_name" not in owned

    def make_job(api, name, owner=None):
        """A Job whose pod its controller makes; no kubelet runs here, so we say that it runs. The pod's name."""
        one = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c", "ports": [{"containerPort": 81}]}]}
        job = {"metadata": {"name": name, **({"ownerReferences": [owner]} if owner else {})}, "spec": {"template": {"spec": one}}}
        api.create("/apis/batch/v1/namespaces/other/jobs", job)
        made = wait_for("the pod of the job", 120, lambda: [p["metadata"]["name"] for p in api.get(
            f"/api/v1/namespaces/other/pods?labelSelector=job-name={name}")["items"]])
        api.patch(f"/api/v1/namespaces/other/pods/{made[0]}/status", status("10.1.9.9"), plane.STRATEGIC)
        return made[0]

    def test_jobs_and_cronjobs(cluster, tmp_path):
        """A pod's Job, and the CronJob above it, as the cluster's own controllers make them; only what was asked for."""
        api = cluster.api
        one = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}
        cron = api.create("/apis/batch/v1beta1/namespaces/other/cronjobs", {
            "metadata": {"name": "report"}, "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": one}}}}})
        owner = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "name": "report", "uid": cron["metadata"]["uid"], "controller": True}
        by_cron, alone = make_job(api, "report-1", owner), make_job(api, "once")
        names = ("__meta_kubernetes_pod_job_name", "__meta_kubernetes_pod_cronjob_name")
        for attach, of_cron, of_job in (({"job": True, "cronjob": True}, ("report-1", "report"), ("once", None)),
                                        ({"job": True}, ("report-1", None), ("once", None)),
                                        ({"cronjob": True}, (None, "report"), (None, None)),
                                        ({}, (None, None), (None, None))):
            done = check(tmp_path, [{"job_name": "p", "kubernetes_sd_configs": [sd("pod", namespaces={"names": ["other"]}, attach_metadata=attach)]}], "p")
            assert done.returncode == 0, done.stderr
            found_pods = {t["discoveredLabels"]["__meta_kubernetes_pod_name"]: t["discoveredLabels"] for t in json.loads(done.stdout)}
            for name, wanted in ((by_cron, of_cron), (alone, of_job)):
                got = found_pods[name]
                assert tuple(got.get(n) for n in names) == wanted, (attach, got)
                assert got["__meta_kubernetes_pod_controller_kind"] == "Job"
                assert got["__meta_kubernetes_pod_controller_name"] == ("report-1" if name == by_cron else "once")

    def test_words_of_a_refusal(cluster, tmp_path):
        """A ServiceAccount without rights: what, where and why, and no targets."""
        kubeconfig = os.path.join(os.environ["KUBE_RUN"], "coord.kubeconfig")
        done = check(tmp_path, [{"job_name": "p", "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": kubeconfig}]}], "p", "15s")
        assert done.returncode == 1
        assert 'list pods: 403 Forbidden: pods is forbidden: User \\"system:serviceaccount:mon:coordinator\\"' in done.stderr
else:
    def test_on_the_control_plane():
        plane.run(__file__)
