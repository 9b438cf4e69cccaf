"""The namespace `kvass` of the manifests in deploy/, on the test plane: what tests ask of it."""
import http.client
import json
import os
import subprocess
import urllib.request

import plane
from harness import BUILD, KVASS, SOURCE, wait_for

DEPLOY = os.path.join(SOURCE, "deploy")
SERIES, TARGETS = 10045, 6


def kubectl(*args, check=True):
    done = subprocess.run(["kubectl", *args], capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr[-4000:]}")
    return done.stdout


def fetch(url, seconds=20):
    """The body; OSError in every case without one, also when a pod dies in the middle of its answer."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return answer.read()
    except http.client.HTTPException as e:
        raise ConnectionError(f"{url}: {e!r}") from e


def get_json(url, seconds=20):
    return json.loads(fetch(url, seconds))


class Cluster:
    """A namespace of the plane and the kubelet that runs its pods."""

    def __init__(self, namespace="kvass", images=()):
        self.api = plane.Api()
        self.namespace = namespace
        more = [a for name, program in dict(images).items() for a in ("--image", f"{name}={program}")]
        self.log = open(os.path.join(os.environ["KUBE_RUN"], "log", "kubelet.log"), "w")
        self.kubelet = subprocess.Popen(
            [os.path.join(SOURCE, "tests", "testplane", "kubelet"), "--image", f"kvass={KVASS}", "--image", "prometheus=/usr/bin/prometheus",
             "--image", f"kvass-demo-metrics={BUILD}/tests/tools/kvass-test-exporter",
             "--image", f"metrics={BUILD}/tests/tools/kvass-test-exporter", "--termination-max", "5", *more],
            stdout=self.log, stderr=subprocess.STDOUT)

    def close(self):
        self.kubelet.terminate()
        self.kubelet.wait(60)
        self.log.close()

    def apply(self, overlay):
        kubectl("apply", "-k", os.path.join(DEPLOY, "overlays", overlay))

    def pods(self, selector):
        items = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")["items"]
        return [p for p in items if "deletionTimestamp" not in p["metadata"]]

    def granted(self, account):
        """{(verb, group, resource/subresource)} of every role that is bound to a service account of the namespace."""
        rbac, rules = "/apis/rbac.authorization.k8s.io/v1", []
        for folder in (f"{rbac}/namespaces/{self.namespace}/rolebindings", f"{rbac}/clusterrolebindings"):
            for b in self.api.get(folder)["items"]:
                if any(s["kind"] == "ServiceAccount" and s["name"] == account and s.get("namespace") == self.namespace for s in b.get("subjects", [])):
                    scope = rbac if b["roleRef"]["kind"] == "ClusterRole" else f"{rbac}/namespaces/{self.namespace}"
                    rules += self.api.get(f"{scope}/{b['roleRef']['kind'].lower()}s/{b['roleRef']['name']}")["rules"]
        return {(v, g, r) for rule in rules for v in rule["verbs"] for g in rule["apiGroups"] for r in rule["resources"]}

    def assert_rights(self, since):
        """Since that place in the audit log nothing was refused, and every right there is was used: no rule names a verb nobody needs."""
        refused = {key: codes for key, codes in plane.audited("kvass-coordinator", since).items() if 403 in codes}
        assert not refused, refused
        granted, seen = self.granted("kvass-coordinator"), set(plane.audited("kvass-coordinator"))
        assert granted == seen, f"granted, but not used: {granted - seen}; used, but not granted: {seen - granted}"
        assert plane.audited("kvass-shard") == {} and self.granted("kvass-shard") == set()

    def shards(self, name="prometheus"):
        return sorted(self.pods(f"app.kubernetes.io/name={name}"), key=lambda p: p["metadata"]["name"])

    def replicas(self, name="prometheus-rep-0"):
        return self.api.get(f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{name}")["spec"]["replicas"]

    def is_rolled_out(self, kind, name):
        """The controller has seen the last change of a Deployment or StatefulSet, and none but ready pods of its present template exist."""
        o = self.api.get(f"/apis/apps/v1/namespaces/{self.namespace}/{kind}/{name}")
        wanted, status = o["spec"]["replicas"], o.get("status", {})
        if status.get("observedGeneration", 0) < o["metadata"]["generation"]:
            return False
        if any(status.get(key, 0) != wanted for key in ("replicas", "updatedReplicas", "readyReplicas")):
            return False
        labels = ",".join(f"{k}={v}" for k, v in o["spec"]["selector"]["matchLabels"].items())
        return len(self.api.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={labels}")["items"]) == wanted

    def roll_out(self, kind, name, patch, content_type=plane.MERGE):
        """Changes a Deployment or StatefulSet and waits until nothing of what it was before is left."""
        self.api.patch(f"/apis/apps/v1/namespaces/{self.namespace}/{kind}/{name}", patch, content_type)
        wait_for(f"the rollout of {name}", 300, lambda: self.is_rolled_out(kind, name))

    def holder(self):
        lease = self.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/kvass")
        return lease["spec"].get("holderIdentity", "")

    def coordinator(self):
        """host:port of the API of the one that acts; ConnectionError while there is none."""
        name = self.holder().rsplit("_", 1)[0]
        for component, port in (("coordinator", 9090), ("shard", 8080)):
            for p in self.pods(f"app.kubernetes.io/component={component}"):
                if p["metadata"]["name"] == name and p["status"].get("podIP"):
                    return f"{p['status']['podIP']}:{port}"
        raise ConnectionError(f"the holder of the Lease, {name or 'nobody'}, has no address")

    def acts(self):
        """True when the holder of the Lease has taken over and decides."""
        return b"kvass_k8s_lease_held 1\n" in fetch(f"http://{self.coordinator()}/metrics")

    def spread(self):
        """{shard: targets that are up there}, as the shards' own Prometheus servers tell."""
        found = {}
        for p in self.shards():
            ip = p["status"].get("podIP")
            try:
                targets = get_json(f"http://{ip}:9090/api/v1/targets?state=active")["data"]["activeTargets"]
            except (OSError, ValueError):
                targets = []
            found[p["metadata"]["name"]] = sorted(t["labels"]["pod"] for t in targets if t["health"] == "up")
        return found

    def series(self):
        """Distinct series of the demo's metrics, over all shards, from one instant query each."""
        count = 0
        for p in self.shards():
            url = f"http://{p['status']['podIP']}:9090/api/v1/query?query=sum(scrape_samples_post_metric_relabeling)"
            result = get_json(url)["data"]["result"]
            count += int(float(result[0]["value"][1])) if result else 0
        return count

    def up_history(self, seconds):
        """{target: number of samples of up == 1 in the last seconds}, over all shards."""
        seen = {p["metadata"]["name"]: 0 for p in self.pods("app.kubernetes.io/name=metrics")}
        for p in self.shards():
            url = (f"http://{p['status']['podIP']}:9090/api/v1/query?query="
                   f"sum_over_time(up%7Bjob%3D%22metrics%22%7D%5B{seconds}s%5D)")
            try:
                for r in get_json(url)["data"]["result"]:
                    seen[r["metric"]["pod"]] = seen.get(r["metric"]["pod"], 0) + int(float(r["value"][1]))
            except OSError:
                continue
        return seen

    def events(self, reason):
        items = self.api.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [e["message"] for e in items if e["reason"] == reason]


    def most_shards(self):
        """The largest number that anybody scaled up to, as the Events tell: "from 1 to 3: ..."."""
        return max(int(m.split(":")[0].split(" to ")[1]) for m in self.events("ScaledUp"))


def assert_no_gap(cluster, seconds, but=()):
    """Every target, those in `but` apart, has a good sample for nearly every interval (5 s) of the time that has passed: one may lie on either edge,
    and a loaded machine may miss one."""
    for target, count in cluster.up_history(seconds).items():
        assert target in but or count >= seconds // 5 - 3, f"{target}: {count} good samples in {seconds} s at an interval of 5 s"


def settled(cluster, shards, targets):
    def check():
        spread = cluster.spread()
        pods = sorted(p for names in spread.values() for p in names)
        return spread if len(spread) == shards and len(pods) == targets and len(set(pods)) == targets else None
    return check
