"""ServiceMonitors, PodMonitors, Probes and ScrapeConfigs on a real API server as scrape jobs of kvass. The oracle is a real Prometheus with
the configuration that the Prometheus Operator would have written for these objects, by hand, on the same API server."""
import base64
import json
import os
import re
import subprocess
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import plane
import pytest
from coordinator_harness import Coordinator, Shard, write_shards
from harness import Appliance, Process, free_ports, get_data, http, wait_for, write

FOLDER = os.environ.get("KVASS_PROMETHEUS_DIR") or os.path.expanduser("~/.cache/kvass-prometheus")
HERE = os.path.dirname(os.path.abspath(__file__))
ADDRESS = "192.0.2.50"  # what endpoints may hold: not a loopback one
GROUP = "/apis/monitoring.coreos.com"
PLURALS = {"ServiceMonitor": "v1", "PodMonitor": "v1", "Probe": "v1", "ScrapeConfig": "v1alpha1"}


def oracles():
    found = []
    for name in sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []:
        program = os.path.join(FOLDER, name, "prometheus")
        if name[0].isdigit() and os.access(program, os.X_OK) and tuple(map(int, name.split("."))) >= (2, 45):
            found.append((name, program))
    return found


class Exporter:
    """One metric, for those who know the password, and a prober for everybody."""

    def __init__(self):
        exporter = self
        self.password = "first"
        self.good = {}  # password: scrapes with it

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                exporter.answer(self)

            def log_message(self, *_):
                pass

        subprocess.run(["ip", "address", "add", ADDRESS + "/32", "dev", "lo"], check=True)
        self.server = ThreadingHTTPServer((ADDRESS, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        said = request.headers.get("Authorization", "")
        want = "Basic " + base64.b64encode(f"ann:{self.password}".encode()).decode()
        open_ = request.path.startswith(("/probe", "/open"))
        body = b"answered 1\n" if open_ or said == want else b"who are you\n"
        if said == want:
            self.good[self.password] = self.good.get(self.password, 0) + 1
        request.send_response(200 if body.startswith(b"answered") else 401)
        request.send_header("Content-Type", "text/plain; version=0.0.4")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# ---------------------------------------------------------------------------------------------------- objects


def path_of(kind, namespace="shop"):
    return f"{GROUP}/{PLURALS[kind]}/namespaces/{namespace}/{kind.lower()}s"


def put(api, kind, name, spec, namespace="shop", labels=None):
    return api.create(path_of(kind, namespace), {
        "apiVersion": f"monitoring.coreos.com/{PLURALS[kind]}", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "spec": spec})


def secret(api, name, data, verb="create"):
    body = {"metadata": {"name": name}, "stringData": data}
    if verb == "create":
        return api.create("/api/v1/namespaces/shop/secrets", body)
    return api.patch(f"/api/v1/namespaces/shop/secrets/{name}", {"stringData": data})


def fill(api, port):
    for name in ("shop", "other"):
        api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    for name, namespace, labels in (("web", "shop", {"app": "web", "app.kubernetes.io/name": "web-shop", "team": "a"}),
                                    ("old", "shop", {"app": "web", "legacy": "yes"}), ("web", "other", {"app": "web"})):
        api.create(f"/api/v1/namespaces/{namespace}/services",
                   {"metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"name": "metrics", "port": 80}]}})
        api.create(f"/api/v1/namespaces/{namespace}/endpoints", {
            "metadata": {"name": name}, "subsets": [{"addresses": [
                {"ip": ADDRESS, "targetRef": {"kind": "Pod", "namespace": namespace, "name": "worker-0"}}],
                "ports": [{"name": "metrics", "port": port}, {"name": "admin", "port": 9}]}]})
    for name, phase in (("worker-0", "Running"), ("worker-1", "Succeeded")):
        api.create("/api/v1/namespaces/shop/pods", {
            "metadata": {"name": name, "labels": {"app": "worker", "version": "v1"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "ports": [{"name": "metrics", "containerPort": port}]}]}})
        api.patch(f"/api/v1/namespaces/shop/pods/{name}/status",
                  {"status": {"phase": phase, "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}}, plane.STRATEGIC)
    secret(api, "login", {"user": "ann", "password": "first"})


def put_all(api, port):
    put(api, "ServiceMonitor", "web", {
        "jobLabel": "app.kubernetes.io/name", "targetLabels": ["team"],
        "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "legacy", "operator": "DoesNotExist"}]},
        "endpoints": [{"port": "metrics", "interval": "1s", "basicAuth": {"username": {"name": "login", "key": "user"},
                                                                         "password": {"name": "login", "key": "password"}}}]})
    put(api, "PodMonitor", "worker", {
        "selector": {"matchLabels": {"app": "worker"}}, "podTargetLabels": ["version"],
        "podMetricsEndpoints": [{"port": "metrics", "path": "/open"}]})
    put(api, "Probe", "outside", {
        "prober": {"url": f"{ADDRESS}:{port}"}, "module": "http_2xx", "jobName": "blackbox",
        "targets": {"staticConfig": {"static": ["https://example.org/a"], "labels": {"env": "prod"}}}})
    put(api, "ScrapeConfig", "services", {
        "jobName": "all-services", "metricsPath": "/open", "kubernetesSDConfigs": [{"role": "Service", "namespaces": {"names": ["shop"]}}],
        "staticConfigs": [{"targets": ["a.example:1"], "labels": {"dc": "x"}}],
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_service_name"], "targetLabel": "service"}]})


def expected(port):
    """What the Prometheus Operator would have written."""
    kubeconfig = {"kubeconfig_file": os.environ["KUBECONFIG"]}
    first = {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"}

    def copy(source, target, **more):
        return {"source_labels": [source], "target_label": target, **more}
    return [
        {"job_name": "serviceMonitor/shop/web/0",
         "kubernetes_sd_configs": [{"role": "endpoints", "namespaces": {"names": ["shop"]}, **kubeconfig}],
         "relabel_configs": [
             first,
             {"action": "keep", "source_labels": ["__meta_kubernetes_service_label_app", "__meta_kubernetes_service_labelpresent_app"],
              "regex": "(web);true"},
             {"action": "drop", "source_labels": ["__meta_kubernetes_service_labelpresent_legacy"], "regex": "true"},
             {"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": "metrics"},
             *({"source_labels": ["__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"],
                "separator": ";", "regex": f"{kind};(.*)", "replacement": "${1}", "target_label": kind.lower()} for kind in ("Node", "Pod")),
             copy("__meta_kubernetes_namespace", "namespace"), copy("__meta_kubernetes_service_name", "service"),
             copy("__meta_kubernetes_pod_name", "pod"), copy("__meta_kubernetes_pod_container_name", "container"),
             {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"},
             copy("__meta_kubernetes_service_label_team", "team", regex="(.+)", replacement="${1}"),
             copy("__meta_kubernetes_service_name", "job", replacement="${1}"),
             copy("__meta_kubernetes_service_label_app_kubernetes_io_name", "job", regex="(.+)", replacement="${1}"),
             {"target_label": "endpoint", "replacement": "metrics"}]},
        {"job_name": "podMonitor/shop/worker/0", "metrics_path": "/open",
         "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["shop"]}, **kubeconfig}],
         "relabel_configs": [
             first,
             {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"},
             {"action": "keep", "source_labels": ["__meta_kubernetes_pod_label_app", "__meta_kubernetes_pod_labelpresent_app"],
              "regex": "(worker);true"},
             {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics"},
             copy("__meta_kubernetes_namespace", "namespace"), copy("__meta_kubernetes_pod_container_name", "container"),
             copy("__meta_kubernetes_pod_name", "pod"), copy("__meta_kubernetes_pod_label_version", "version", regex="(.+)"),
             {"target_label": "job", "replacement": "shop/worker"}, {"target_label": "endpoint", "replacement": "metrics"}]},
        {"job_name": "probe/shop/outside", "metrics_path": "/probe", "params": {"module": ["http_2xx"]},
         "static_configs": [{"targets": ["https://example.org/a"], "labels": {"env": "prod", "namespace": "shop"}}],
         "relabel_configs": [first, {"target_label": "job", "replacement": "blackbox"}, copy("__address__", "__param_target"),
                             copy("__param_target", "instance"), {"target_label": "__address__", "replacement": f"{ADDRESS}:{port}"}]},
        {"job_name": "scrapeConfig/shop/services", "metrics_path": "/open",
         "kubernetes_sd_configs": [{"role": "service", "namespaces": {"names": ["shop"]}, **kubeconfig}],
         "static_configs": [{"targets": ["a.example:1"], "labels": {"dc": "x"}}],
         "relabel_configs": [first, {"target_label": "job", "replacement": "all-services"}, copy("__meta_kubernetes_service_name", "service")]},
    ]


# ---------------------------------------------------------------------------------------------------- both sides


def found(url):
    """{job: set of (scrape URL, labels)}"""
    all_ = {}
    for t in get_data(url + "/api/v1/targets?state=active")["activeTargets"]:
        all_.setdefault(t["scrapePool"], set()).add((t["scrapeUrl"], tuple(sorted(t["labels"].items()))))
    return all_


def jobs(url):
    return sorted(found(url))


def objects(kvass, state):
    """{plural: count}"""
    text = http(kvass.url + "/metrics")[1]
    rows = re.findall(r'^kvass_k8s_operator_objects\{resource="(\w+)",state="(\w+)"\} (\S+)$', text, re.M)
    return {resource: int(float(n)) for resource, s, n in rows if s == state and float(n)}


def events(api, name, namespace="shop"):
    return [(e["reason"], e["type"], e["message"]) for e in api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
            if e["involvedObject"]["name"] == name and e["source"].get("component") == "kvass"]


ALL = "--operator.resources=servicemonitors,podmonitors,probes,scrapeconfigs"
FOUR = ["podMonitor/shop/worker/0", "probe/shop/outside", "scrapeConfig/shop/services", "serviceMonitor/shop/web/0"]


def start(tmp, *options, config="global: {scrape_interval: 5m, scrape_timeout: 5s}\n", env=None):
    os.makedirs(tmp, exist_ok=True)
    write(tmp / "prometheus.yml", config)
    return Appliance(str(tmp), str(tmp / "prometheus.yml"),
                     [ALL, "--shard.max-shard=1", "--coordinator.interval=1s", "--target.grace=0s", *options], shards_max=1, env=env)


if plane.is_inside():
    @pytest.fixture(scope="session")
    def exporter():
        e = Exporter()
        yield e
        e.close()

    @pytest.fixture(scope="session")
    def api():
        return plane.Api()

    def test_definitions_that_are_not_there(api, tmp_path):
        """The file's jobs run, nothing is in error; the log says it once for each."""
        kvass = start(tmp_path / "k", config="scrape_configs:\n- job_name: own\n  static_configs: [{targets: ['127.0.0.1:9']}]\n")
        kvass.wait_ready()
        wait_for("the file's job", 60, lambda: jobs(kvass.url) == ["own"])
        wait_for("the balancer to act", 60, lambda: kvass.targets("own")[0]["shards"])
        assert kvass.output().count("definition not installed") == 4
        assert objects(kvass, "refused") == {}
        kvass.stop()

    @pytest.fixture(scope="session")
    def cluster(api, exporter):
        subprocess.run(["kubectl", "apply", "-f", os.path.join(HERE, "operator_crds.yaml")], check=True, capture_output=True)

        def served():
            try:
                return all(api.get(path_of(kind)) for kind in PLURALS)
            except urllib.error.HTTPError:
                return False
        wait_for("the definitions to be served", 60, served)
        fill(api, exporter.port)
        put_all(api, exporter.port)
        return api

    @pytest.fixture(scope="session")
    def kvass(cluster, tmp_path_factory):
        k = start(tmp_path_factory.mktemp("kvass") / "k")
        k.wait_ready()
        yield k
        k.stop()

    def test_there_is_an_oracle():
        assert oracles(), f"no Prometheus with Kubernetes discovery in {FOLDER}: run scripts/fetch-prometheus"

    def test_the_first_configuration_is_whole(kvass):
        """A restart must not forget the resources' targets: the first load has their jobs."""
        lines = [line for line in kvass.output().splitlines() if "configuration loaded" in line]
        assert "jobs=4" in lines[0], lines

    @pytest.mark.parametrize("oracle", oracles(), ids=lambda o: o[0])
    def test_finds_what_the_operator_would_have_prometheus_find(oracle, kvass, exporter, tmp_path):
        write(tmp_path / "prometheus.yml", json.dumps({"global": {"scrape_interval": "5m"}, "scrape_configs": expected(exporter.port)}))
        port = free_ports(1)[0]
        prometheus = Process([oracle[1], f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                              f"--web.listen-address=127.0.0.1:{port}"], str(tmp_path / "prometheus.log"))
        last = [None]

        def same():
            last[0] = found(kvass.url), found(f"http://127.0.0.1:{port}")
            return last[0][0] == last[0][1] and sorted(last[0][0]) == FOUR
        try:
            wait_for("the same targets", 90, same)
        except TimeoutError:
            pytest.fail(f"kvass: {last[0][0]}\nPrometheus: {last[0][1]}", pytrace=False)
        finally:
            prometheus.stop()
        assert len(last[0][0]["serviceMonitor/shop/web/0"]) == 1
        assert len(last[0][0]["scrapeConfig/shop/services"]) == 3

    def test_all_are_used_and_scraped(kvass):
        wait_for("all in use", 60, lambda: objects(kvass, "used") == {"servicemonitors": 1, "podmonitors": 1, "probes": 1, "scrapeconfigs": 1})
        assert objects(kvass, "refused") == {} and objects(kvass, "waiting") == {}
        for job in ("serviceMonitor/shop/web/0", "podMonitor/shop/worker/0", "probe/shop/outside"):
            wait_for(f"{job} to be up", 90, lambda job=job: [t["health"] for t in kvass.targets(job)] == ["up"])

    def test_no_secret_is_shown(kvass):
        text = json.dumps(kvass.get("/api/v1/status/config"))
        assert "serviceMonitor/shop/web/0" in text and "<secret>" in text
        assert "first" not in text
        for folder, _, files in os.walk(os.path.join(kvass.store, "shards")):
            for name in files:
                if name.endswith((".yml", ".json")):
                    with open(os.path.join(folder, name)) as f:
                        assert "basic_auth" not in f.read(), name

    def test_a_rotated_secret_is_followed(kvass, cluster, exporter):
        wait_for("scrapes with the first password", 60, lambda: exporter.good.get("first"))
        exporter.password = "second"
        secret(cluster, "login", {"password": "second"}, "patch")
        wait_for("scrapes with the second password", 120, lambda: exporter.good.get("second"))
        wait_for("the target to be up", 60, lambda: [t["health"] for t in kvass.targets("serviceMonitor/shop/web/0")] == ["up"])

    def test_what_is_bad_costs_itself(kvass, cluster):
        put(cluster, "ServiceMonitor", "twice", {"selector": {}, "endpoints": [{
            "port": "metrics", "bearerTokenFile": "/x", "basicAuth": {"username": {"name": "login", "key": "user"}}}]})
        put(cluster, "PodMonitor", "keyless", {"selector": {}, "podMetricsEndpoints": [{
            "port": "metrics", "bearerTokenSecret": {"name": "nowhere", "key": "token"}}]})
        put(cluster, "ScrapeConfig", "regex", {"staticConfigs": [{"targets": ["b:1"]}], "relabelings": [{"regex": "(", "targetLabel": "a"}]})
        put(cluster, "ScrapeConfig", "server", {"kubernetesSDConfigs": [{"role": "Pod", "apiServer": "nonsense"}]})
        put(cluster, "Probe", "late", {"prober": {"url": "p:1"}, "interval": "10s", "scrapeTimeout": "1m",
                                       "targets": {"staticConfig": {"static": ["x"]}}})
        put(cluster, "ScrapeConfig", "good", {"staticConfigs": [{"targets": ["c:1"]}]})
        wait_for("the good one", 60, lambda: jobs(kvass.url) == sorted(FOUR + ["scrapeConfig/shop/good"]))
        wait_for("the bad ones to be counted", 60, lambda: objects(kvass, "refused") == {
            "servicemonitors": 1, "podmonitors": 1, "scrapeconfigs": 2, "probes": 1})
        for name, text in (("twice", "basicAuth together with bearerTokenFile"), ("keyless", "Secret shop/nowhere does not exist"),
                           ("regex", "error parsing regexp"), ("server", "API server 'nonsense'"), ("late", "scrapeTimeout 1m is greater than interval 10s")):
            ((reason, type_, message),) = wait_for(f"an Event on {name}", 60, lambda name=name: events(cluster, name))
            assert (reason, type_) == ("InvalidConfiguration", "Warning") and text in message, message
        assert events(cluster, "good") == [] and events(cluster, "web") == []
        assert kvass.output().count("object refused") == 5, "one line for each"

    def test_what_is_mended_is_taken(kvass, cluster):
        secret(cluster, "nowhere", {"token": "t"})
        cluster.patch(path_of("Probe") + "/late", {"spec": {"scrapeTimeout": "5s"}})
        cluster.delete(path_of("ScrapeConfig") + "/regex")
        wait_for("their jobs", 90, lambda: {"podMonitor/shop/keyless/0", "probe/shop/late"} <= set(jobs(kvass.url)))
        wait_for("the others", 60, lambda: objects(kvass, "refused") == {"servicemonitors": 1, "scrapeconfigs": 1})
        assert "is taken again" in kvass.output()

    def test_a_name_that_the_file_has_is_refused(kvass, cluster):
        path = os.path.join(kvass.directory, "prometheus.yml")
        write(path, "scrape_configs:\n- job_name: scrapeConfig/shop/good\n  static_configs: [{targets: ['mine:1']}]\n")
        wait_for("the file's own", 60, lambda: {u for u, _ in found(kvass.url)["scrapeConfig/shop/good"]} == {"http://mine:1/metrics"})
        ((_, _, message),) = wait_for("an Event", 60, lambda: events(cluster, "good"))
        assert "multiple scrape configs" in message
        write(path, "global: {scrape_interval: 5m, scrape_timeout: 5s}\n")
        wait_for("the object's", 60, lambda: {u for u, _ in found(kvass.url)["scrapeConfig/shop/good"]} == {"http://c:1/metrics"})

    def test_what_is_deleted_goes(kvass, cluster):
        for kind, name in (("ServiceMonitor", "twice"), ("PodMonitor", "keyless"), ("ScrapeConfig", "server"), ("ScrapeConfig", "good"),
                           ("Probe", "late")):
            cluster.delete(path_of(kind) + "/" + name)
        wait_for("the first four", 60, lambda: jobs(kvass.url) == FOUR)
        wait_for("no refused ones", 60, lambda: objects(kvass, "refused") == {})

    def test_an_outage_keeps_the_set(cluster, tmp_path):
        """Through a relay that is cut: jobs stay, a change made meanwhile comes afterwards."""
        relay = plane.Relay(("127.0.0.1", 16443))
        with open(os.environ["KUBECONFIG"]) as f:
            text = re.sub(r"https://127\.0\.0\.1:\d+", f"https://127.0.0.1:{relay.port}", f.read())
        write(tmp_path / "kubeconfig", text)
        kvass = start(tmp_path / "k", f"--kubeconfig={tmp_path}/kubeconfig")
        try:
            kvass.wait_ready()
            wait_for("the jobs", 60, lambda: jobs(kvass.url) == FOUR)
            relay.cut()
            put(cluster, "ScrapeConfig", "meanwhile", {"staticConfigs": [{"targets": ["d:1"]}]})
            wait_for("failures", 60, lambda: "kvass_k8s_watch_failures_total{resource=\"scrapeconfigs\"}" in http(kvass.url + "/metrics")[1])
            assert http(kvass.url + "/-/reload", "POST")[0] == 200
            assert jobs(kvass.url) == FOUR
            relay.mend()
            wait_for("the new one", 150, lambda: jobs(kvass.url) == sorted(FOUR + ["scrapeConfig/shop/meanwhile"]))
        finally:
            kvass.stop()
            relay.close()
            cluster.delete(path_of("ScrapeConfig") + "/meanwhile")

    def test_a_coordinator_that_starts_again_forgets_nothing(cluster, world):
        """Neither at once nor when the API server is away at its start: before the resources have come it changes nothing."""
        relay = plane.Relay(("127.0.0.1", 16443))
        with open(os.environ["KUBECONFIG"]) as f:
            text = re.sub(r"https://127\.0\.0\.1:\d+", f"https://127.0.0.1:{relay.port}", f.read())
        kubeconfig = os.path.join(world.directory, "kubeconfig")
        write(kubeconfig, text)
        write(os.path.join(world.directory, "prometheus.yml"), "global: {scrape_interval: 5s}\n")
        shard = Shard(world, "s0").start()
        write_shards(world, [("s0", shard.url)])
        options = [ALL, f"--kubeconfig={kubeconfig}", "--sd.init-timeout=1h", "--target.grace=0s"]
        coordinator = Coordinator(world, *options).wait_ready()

        def whole():
            return sorted(job for job, addresses in shard.holds().items() if addresses) == FOUR
        wait_for("the shard to have all", 90, whole)
        for name in ("again", "away"):
            coordinator.stop()
            if name == "away":
                relay.cut()
            coordinator = Coordinator(world, *options, name=name)
            if name == "away":
                wait_for("the coordinator to look", 60, lambda: "watch the Kubernetes API" in coordinator.output())
                wait_for("some rounds", 60, lambda: coordinator.metric("kvass_balancer_round_duration_seconds_count") > 3)
                assert coordinator.metric("kvass_balancer_acting") == 0 and whole()
                relay.mend()

            def acts():
                assert whole(), shard.holds()
                return coordinator.metric("kvass_balancer_acting") == 1
            wait_for("the coordinator to act", 150, acts, 0.05)
            rounds = coordinator.metric("kvass_balancer_round_duration_seconds_count")
            wait_for("some rounds of it", 60, lambda: coordinator.metric("kvass_balancer_round_duration_seconds_count") > rounds + 3)
            assert whole(), shard.holds()
        relay.close()

    def test_selection(cluster, tmp_path):
        put(cluster, "ScrapeConfig", "chosen", {"staticConfigs": [{"targets": ["e:1"]}]}, namespace="other", labels={"team": "b"})
        put(cluster, "ScrapeConfig", "chosen", {"staticConfigs": [{"targets": ["e:1"]}]}, labels={"team": "b"})
        kvass = start(tmp_path / "k", "--operator.selector=team in (b,c)", "--operator.namespaces=other, nowhere")
        kvass.wait_ready()
        wait_for("the chosen one", 60, lambda: jobs(kvass.url) == ["scrapeConfig/other/chosen"])
        kvass.stop()
        for namespace in ("other", "shop"):
            cluster.delete(path_of("ScrapeConfig", namespace) + "/chosen")

    def kubeconfig_of(api, path):
        """Of the service account that deploy/components/operator gives its rights to, which has no others."""
        answer = api.create("/api/v1/namespaces/kvass/serviceaccounts/kvass-coordinator/token",
                            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}})
        write(path, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": os.environ["KUBE_URL"], "certificate-authority": os.environ["KUBE_CA"]}}],
            "users": [{"name": "u", "user": {"token": answer["status"]["token"]}}]}))
        return path

    def may(api, verb, group, resource):
        """Whether the authorizer has taken notice already: roles reach it a moment after they are stored."""
        return api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
                "user": "system:serviceaccount:kvass:kvass-coordinator",
                "resourceAttributes": {"verb": verb, "group": group, "resource": resource}}})["status"]["allowed"]

    RIGHTS = [f"{verb} {resource}" for verb in ("list", "watch") for resource in (
        "servicemonitors", "podmonitors", "probes", "scrapeconfigs", "services", "endpoints", "pods", "ingresses")] + [
        "get secrets", "get configmaps", "create events"]

    def test_the_rights_of_the_component_suffice(cluster, exporter, tmp_path):
        """And all of them are used."""
        cluster.create("/api/v1/namespaces", {"metadata": {"name": "kvass"}})
        cluster.create("/api/v1/namespaces/kvass/serviceaccounts", {"metadata": {"name": "kvass-coordinator"}})
        rbac = os.path.join(plane.SOURCE, "deploy/components/operator/rbac.yaml")
        subprocess.run(["kubectl", "apply", "-f", rbac], check=True, capture_output=True)
        wait_for("the rights to be in force", 60, lambda: may(cluster, "get", "", "secrets") and may(cluster, "create", "", "events"))
        put(cluster, "Probe", "poor", {"targets": {}})
        put(cluster, "Probe", "ways", {"prober": {"url": "p:1"}, "targets": {"ingress": {"selector": {}}}})
        cluster.create("/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "ca"}, "data": {"ca.crt": open(os.environ["KUBE_CA"]).read()}})
        put(cluster, "ScrapeConfig", "tls", {"scheme": "HTTPS", "tlsConfig": {"ca": {"configMap": {"name": "ca", "key": "ca.crt"}}},
                                             "staticConfigs": [{"targets": ["f:1"]}]})
        kvass = start(tmp_path / "k", f"--kubeconfig={kubeconfig_of(cluster, tmp_path / 'kubeconfig')}")
        before = exporter.good.get(exporter.password, 0)
        try:
            kvass.wait_ready()
            wait_for("the jobs", 90, lambda: jobs(kvass.url) == sorted(FOUR + ["scrapeConfig/shop/tls"]))
            wait_for("every target", 90, lambda: len(found(kvass.url)["scrapeConfig/shop/services"]) == 3)
            wait_for("the Secret's scrapes", 90, lambda: exporter.good.get(exporter.password, 0) > before)
            wait_for("an Event", 60, lambda: events(cluster, "poor"))

            def used():
                seen = plane.audited("kvass-coordinator")
                refused = {key for key, codes in seen.items() if 403 in codes}
                assert not refused, refused
                return sorted(f"{verb} {resource}" for verb, _, resource in seen) == sorted(RIGHTS)
            wait_for("every right to be used", 60, used)
        finally:
            kvass.stop()
            for kind, name in (("Probe", "poor"), ("Probe", "ways"), ("ScrapeConfig", "tls")):
                cluster.delete(path_of(kind) + "/" + name)

    @pytest.mark.parametrize("overlay", ["demo", "ha", "thanos", "appliance"])
    def test_the_component_joins_the_manifests(tmp_path, overlay):
        deploy = os.path.relpath(os.path.join(os.path.abspath(plane.SOURCE), "deploy"), os.path.realpath(tmp_path))
        write(tmp_path / "kustomization.yaml", json.dumps({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
                                                           "resources": [f"{deploy}/overlays/{overlay}"], "components": [f"{deploy}/components/operator"]}))
        done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("--operator.resources=servicemonitors,podmonitors,probes,scrapeconfigs") == 1
        subprocess.run(["kubectl", "apply", "--dry-run=server", "-f", "-"], input="\n---\n".join(
            part for part in done.stdout.split("\n---\n") if "kind: ClusterRole" in part), check=True, capture_output=True, text=True, timeout=60)

    @pytest.mark.parametrize("how", ["by RBAC", "by the option"])
    def test_without_secrets(cluster, how, tmp_path):
        """Who needs one is refused, the others are taken."""
        subprocess.run(["kubectl", "delete", "--ignore-not-found", "clusterrolebinding", "kvass-operator-secrets"], check=True, capture_output=True)
        wait_for("the right to be gone", 60, lambda: not may(cluster, "get", "", "secrets"))
        kvass = start(tmp_path / "k", f"--kubeconfig={kubeconfig_of(cluster, tmp_path / 'kubeconfig')}",
                      *(["--operator.secrets=false"] if how == "by the option" else []))
        try:
            kvass.wait_ready()
            wait_for("the jobs", 90, lambda: jobs(kvass.url) == FOUR[:3])
            wait_for("a refusal", 30, lambda: objects(kvass, "refused") == {"servicemonitors": 1})
            assert ("may not be read" if how == "by RBAC" else "switched off by operator.secrets") in kvass.output()
        finally:
            kvass.stop()
else:
    def test_on_the_control_plane():
        plane.run(__file__, audit=True)


@pytest.mark.parametrize("option,message", [
    ("--operator.resources=pods", 'expected servicemonitors, podmonitors, probes or scrapeconfigs'),
    ("--operator.selector=a in", "operator.selector: "),
    ("--operator.namespaces=Shop", 'is no name of a namespace'),
])
def test_options_that_are_wrong(option, message, tmp_path):
    kvass = start(tmp_path / "k", option)
    assert wait_for("the end", 60, lambda: kvass.child.poll() is not None)
    assert kvass.child.returncode == 1 and message in kvass.output()
