"""The Helm chart, by Helm itself (KVASS_TEST_HELM names the program, which Debian does not have): `scripts/long helm`. Rendered with values of
all kinds, refused with bad ones, held against the kustomize base, and installed, upgraded and removed on the control plane of the tests."""
import json
import os
import subprocess

import kube_manifests as manifests
import plane
import pytest
import yaml
from harness import SOURCE, wait_for
from kube_cluster import DEPLOY, SERIES, Cluster, get_json, kubectl

HELM = os.environ["KVASS_TEST_HELM"]
CHART = os.path.join(SOURCE, "deploy", "chart", "kvass")
DEMO = os.path.join(DEPLOY, "overlays", "demo")
VALUES = [
    {},
    {"shards": {"replicas": 2}, "coordinator": {"deletePvc": True}},
    {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    {"image": {"repository": "registry.example/kvass", "tag": "2"}, "imagePullSecrets": [{"name": "pull"}], "serviceAccount": {"annotations": {"a": "b"}}},
    {"rbac": {"discoveryRules": []}, "shards": {"storage": {"storageClassName": "fast", "size": "1Ti"}, "podAnnotations": {"x": "y"}}},
    {"operator": {"resources": ["servicemonitors", "probes"], "selector": "team in (a,b)", "namespaces": ["a", "b"], "files": False}},
    {"operator": {"resources": ["scrapeconfigs"], "secrets": False}},
    {"coordinator": {"extraArgs": ["--log.level=debug"], "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}],
                     "affinity": {"nodeAffinity": {}}, "podAnnotations": {"c": "d"}},
     "shards": {"sidecar": {"extraArgs": ["--log.level=debug"]}, "prometheus": {"extraArgs": ["--web.page-title=x"], "retention": "2d"},
                "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "affinity": {"podAntiAffinity": {}}}},
]
REFUSED = ["coordinator.replicas=0", "coordinator.replicas=two", "shards.replicas=9", "shards.storage.size=lots", "coordinator.maxIdleTime=3",
           "coordinator.extraArgs={web}", "nope=1", "image.repository=", "prometheusYml=", "shards.prometheus.retention=for ever", "shards.nope=1",
           "rbac.create=perhaps", "operator.resources={pods}", "operator.namespaces={A}", "operator.namespaces={-a}", "operator.namespaces={a,a}",
           "image.pullPolicy=Sometimes", "shards.storage.size=10K", "shards.replicas=null", "networkPolicy=null", "coordinator.maxIdleTime=null",
           "serviceAccount.create=false"]
LONGEST = "a23456789-123456789-123456789-123456789-123456789-123"  # name of a release: 53 characters


def helm(*args, check=True):
    done = subprocess.run([HELM, *args], capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, f"helm {' '.join(args)}: {done.stderr[-4000:]}"
    return done


def render(tmp_path, values, name="kvass", version="1.29.0"):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    text = helm("template", name, CHART, "-n", "kvass", "-f", str(path), "--kube-version", version).stdout
    return [o for o in yaml.safe_load_all(text) if o]


def one(objects, kind, suffix):
    (found,) = [o for o in manifests.of_kind(objects, kind) if o["metadata"]["name"].endswith(suffix)]
    return found


def comparable(pod):
    """What both forms of a pod must agree in: everything but names, labels and the sizes that are values."""
    spec = pod["spec"]
    return {"security": {k: v for k, v in spec["securityContext"].items() if not k.startswith("fsGroup")},
            "grace": spec["terminationGracePeriodSeconds"], "volumes": sorted(v["name"] for v in spec["volumes"]),
            "containers": [{**{k: c.get(k) for k in ("name", "ports", "startupProbe", "readinessProbe", "livenessProbe", "securityContext", "env", "resources",
                                                     "volumeMounts")},
                            "image": c["image"].split(":")[0]} for c in spec["containers"]]}


def arguments(pod, container):
    return {a.split("=")[0]: a.split("=", 1)[-1] for c in pod["spec"]["containers"] if c["name"] == container for a in c["args"]}


if plane.is_inside():

    def test_lint():
        helm("lint", "--strict", CHART)

    @pytest.mark.parametrize("values", VALUES, ids=range(len(VALUES)))
    def test_rendered(tmp_path, values):
        objects = render(tmp_path, values)
        manifests.check(objects)
        assert len(manifests.of_kind(objects, "StatefulSet")) == values.get("shards", {}).get("replicas", 1)
        text = json.dumps(objects)
        for given in ("registry.example/kvass:2", "--web.page-title=x", "--log.level=debug", "fast", "\"Exists\""):
            assert (given in text) == (given.strip('"') in json.dumps(values).replace("\", \"tag\": \"2", ":2")), given

    @pytest.mark.parametrize("setting", REFUSED)
    def test_refused_by_the_schema(setting):
        done = helm("template", "kvass", CHART, "--set", setting, check=False)
        assert done.returncode != 0 and "values don't meet the specifications of the schema" in done.stderr, done.stderr

    @pytest.mark.parametrize("name", [LONGEST, LONGEST[:44] + "-kvass", "123", "true", "1e3"])
    def test_names_of_releases(tmp_path, name):
        """The label with a StatefulSet's revision, its name and eleven more, has 63 characters at most; what looks like a number is none."""
        objects = render(tmp_path, {"shards": {"replicas": 5}}, name=name)
        manifests.check(objects)
        for o in objects:
            assert len(o["metadata"]["name"]) <= (52 if o["kind"] == "StatefulSet" else 63), o["metadata"]["name"]
        for w in manifests.of_kind(objects, *manifests.WORKLOADS):
            assert manifests.template(w)["metadata"]["labels"]["app.kubernetes.io/instance"] == name

    def test_an_account_of_one_s_own(tmp_path):
        objects = render(tmp_path, {"serviceAccount": {"create": False, "name": "mine"}, "shards": {"storage": {"size": "1.5Ti"}}})
        assert "mine" not in manifests.names(objects, "ServiceAccount")
        assert manifests.template(one(objects, "Deployment", "-coordinator"))["spec"]["serviceAccountName"] == "mine"
        assert {s["name"] for b in manifests.of_kind(objects, "RoleBinding", "ClusterRoleBinding") for s in b["subjects"]} == {"mine"}

    def test_the_api_of_the_cluster(tmp_path):
        for version, api in (("1.20.2", "policy/v1beta1"), ("1.21.0", "policy/v1"), ("1.33.1", "policy/v1")):
            assert {b["apiVersion"] for b in manifests.of_kind(render(tmp_path, {}, version=version), "PodDisruptionBudget")} == {api}
        assert helm("template", "kvass", CHART, "--kube-version", "1.19.0", check=False).returncode != 0

    def test_it_is_the_kustomize_base(tmp_path):
        chart = render(tmp_path, {})
        base = [o for o in yaml.safe_load_all(kubectl("kustomize", os.path.join(DEPLOY, "base"))) if o]
        for kind, in_chart, in_base, containers in (("Deployment", "-coordinator", "kvass-coordinator", ["coordinator"]),
                                                    ("StatefulSet", "-rep-0", "prometheus-rep-0", ["kvass", "prometheus"])):
            ours, theirs = manifests.template(one(chart, kind, in_chart)), manifests.template(one(base, kind, in_base))
            assert comparable(ours) == comparable(theirs)
            for c in containers:
                more, least = arguments(ours, c), arguments(theirs, c)
                assert all(more[k] == v for k, v in least.items() if k != "--shard.selector"), (c, more, least)
        assert one(chart, "Role", "-coordinator")["rules"] == [
            {**r, **({"resourceNames": ["kvass"]} if "resourceNames" in r else {})} for r in one(base, "Role", "-coordinator")["rules"]]
        for policy, same in (("-coordinator", "kvass-coordinator"), ("-shards", "prometheus")):
            ports = [sorted(p["port"] for r in one(objects, "NetworkPolicy", name)["spec"]["ingress"] for p in r["ports"])
                     for objects, name in ((chart, policy), (base, same))]
            assert ports[0] == ports[1]

    def test_installed_upgraded_and_removed():
        cluster = Cluster()
        try:
            kubectl("create", "namespace", "kvass")
            kubectl("apply", "-n", "kvass", "-f", os.path.join(DEMO, "metrics.yaml"))
            base = ["kvass", CHART, "-n", "kvass", "--set-file", f"prometheusYml={DEMO}/prometheus.yml", "--set", "coordinator.maxHeadSeries=30000",
                    "--set", "coordinator.extraArgs={--coordinator.interval=5s}", "--set", "shards.terminationGracePeriodSeconds=5"]
            helm("install", *base)
            name = "kvass-rep-0"

            def settled(sets):
                def check():
                    up = {}
                    for p in cluster.pods("app.kubernetes.io/name=prometheus"):
                        targets = get_json(f"http://{p['status']['podIP']}:9090/api/v1/targets?state=active")["data"]["activeTargets"]
                        up[p["metadata"]["name"]] = sorted(t["labels"]["pod"] for t in targets if t["health"] == "up")
                    whole = [sorted(pod for n, pods in up.items() if n.startswith(f"kvass-rep-{r}-") for pod in pods) for r in range(sets)]
                    return up if len(up) == 3 * sets and all(len(w) == 6 == len(set(w)) for w in whole) else None
                return check
            wait_for("three shards with six targets", 600, settled(1))
            assert cluster.replicas(name) == 3 and SERIES * 6 > 30000
            uids = {p["metadata"]["uid"] for p in cluster.pods("app.kubernetes.io/name=prometheus")}
            helm("upgrade", *base, "--set", "shards.replicas=2", "--set", "coordinator.resources.limits.memory=2Gi")
            wait_for("the coordinators' rollout", 300, lambda: cluster.is_rolled_out("deployments", "kvass-coordinator"))
            wait_for("both replicas", 600, settled(2))
            assert cluster.replicas(name) == 3, "an upgrade reset the number of shards"
            assert uids < {p["metadata"]["uid"] for p in cluster.pods("app.kubernetes.io/name=prometheus")}, "an upgrade restarted shards for nothing"
            helm("uninstall", "kvass", "-n", "kvass")
            wait_for("no pod of it", 300, lambda: not cluster.pods("app.kubernetes.io/instance=kvass"))
            claims = cluster.api.get("/api/v1/namespaces/kvass/persistentvolumeclaims")["items"]
            assert len(claims) == 6, "an uninstall must not take the samples along"
        finally:
            cluster.close()

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=1800)
