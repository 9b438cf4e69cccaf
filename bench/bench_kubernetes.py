#!/usr/bin/python3
"""Many pods on a real API server: how long kvass takes to list them and how much memory they cost. Peer: prometheus, when one with
Kubernetes discovery is given, with the same configuration, on the same server, in the same run.

    top_builddir=build tests/testplane/control-plane bench/bench_kubernetes.py [PODS [PROMETHEUS]]      default 50000, none

The pods are copies of one real pod, put into etcd as the API server stores them (protobuf; names, uids and addresses of equal length are
replaced), because creating them through the API takes the API server minutes. One line of JSON for each measurement."""
import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import plane  # noqa: E402

ETCD = "http://127.0.0.1:23790"
BENCH = os.path.join(os.environ["top_builddir"], "bench", "bench_kubernetes")


def etcd(path, body):
    request = urllib.request.Request(ETCD + path, data=json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def template(api):
    """(name, uid, IP) of one pod as a Deployment's pods are, with everything a kubelet reports."""
    api.create("/api/v1/namespaces", {"metadata": {"name": "bench"}})
    name = "web-5d4c7f9b8d-00000"
    env = [{"name": f"SETTING_{i}", "value": "a value of some length " * 2} for i in range(12)]
    probe = {"httpGet": {"path": "/-/healthy", "port": 8080}, "periodSeconds": 10}
    containers = [{"name": n, "image": f"registry.example.org/team/{n}:v1.2.3", "env": env, "livenessProbe": probe,
                   "ports": [{"name": "http", "containerPort": port}], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
                  for n, port in (("web", 8080), ("sidecar", 9102))]
    made = api.create("/api/v1/namespaces/bench/pods", {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "production",
                                              "app.kubernetes.io/version": "1.2.3", "pod-template-hash": "5d4c7f9b8d"},
                     "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4c7f9b8d",
                                          "uid": "11111111-1111-1111-1111-111111111111", "controller": True, "blockOwnerDeletion": True}]},
        "spec": {"nodeName": "node-0000.example.org", "containers": containers, "volumes": [{"name": "tmp", "emptyDir": {}}]}})
    now = "2026-01-02T03:04:05Z"
    api.patch(f"/api/v1/namespaces/bench/pods/{name}/status", {"status": {
        "phase": "Running", "podIP": "10.100.100.100", "podIPs": [{"ip": "10.100.100.100"}], "hostIP": "192.168.100.100", "startTime": now,
        "conditions": [{"type": t, "status": "True", "lastTransitionTime": now}
                       for t in ("Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{"name": c["name"], "image": c["image"], "ready": True, "restartCount": 0, "started": True,
                               "imageID": c["image"] + "@sha256:" + "ab" * 32, "containerID": "containerd://" + "0" * 64,
                               "state": {"running": {"startedAt": now}}} for c in containers]}}, plane.STRATEGIC)
    return name, made["metadata"]["uid"], "10.100.100.100"


def fill(api, count):
    name, uid, ip = template(api)
    key = f"/registry/pods/bench/{name}"
    stored = etcd("/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})["kvs"][0]["value"]
    text = base64.b64decode(stored)
    for part in (name, uid, ip, "node-0000", "containerd://" + "0" * 64):
        assert part.encode() in text, part
    puts = []
    for i in range(1, count):
        own = name[:-5] + "%05d" % i
        value = text.replace(name.encode(), own.encode()).replace(uid.encode(), (uid[:-8] + "%08x" % i).encode())
        value = value.replace(ip.encode(), b"10.1%02d.1%02d.1%02d" % (i // 10000 % 100, i // 100 % 100, i % 100))
        value = value.replace(b"node-0000", b"node-%04d" % (i % 1000)).replace(b"containerd://" + b"0" * 64, b"containerd://" + b"%064x" % i)
        puts.append({"requestPut": {"key": base64.b64encode(f"/registry/pods/bench/{own}".encode()).decode(),
                                    "value": base64.b64encode(value).decode()}})
        if len(puts) == 100 or i == count - 1:
            etcd("/v3/kv/txn", {"success": puts})
            puts = []
    return len(text)


def run_peer(program, folder, targets):
    """Prometheus until it shows this many targets; its time and memory."""
    path = os.path.join(folder, "peer.yml")
    with open(path, "w") as f:
        json.dump({"global": {"scrape_interval": "1h"}, "scrape_configs": [
            {"job_name": "p", "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": os.environ["KUBECONFIG"]}],
             "relabel_configs": [{"action": "drop", "source_labels": ["__address__"], "regex": ".+"}]}]}, f)
    begin = time.monotonic()
    child = subprocess.Popen([program, f"--config.file={path}", f"--storage.tsdb.path={folder}/peer", "--log.level=error",
                              "--web.listen-address=127.0.0.1:19999"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() < begin + 240:
            time.sleep(0.5)
            try:
                with urllib.request.urlopen("http://127.0.0.1:19999/metrics", timeout=10) as answer:
                    for line in answer.read().decode().splitlines():
                        if line.startswith("prometheus_sd_discovered_targets") and float(line.rsplit(" ", 1)[1]) >= targets and '"p"' in line:
                            with open(f"/proc/{child.pid}/status") as status:
                                peak = next(int(x.split()[1]) for x in status if x.startswith("VmHWM"))
                            return {"what": "prometheus", "targets": float(line.rsplit(" ", 1)[1]),
                                    "seconds": round(time.monotonic() - begin, 2), "peak_mib": round(peak / 1024, 1)}
            except OSError:
                pass
        return {"what": "prometheus", "error": "no targets within 240 s"}
    finally:
        child.kill()
        child.wait()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50000
    api = plane.Api()
    begin = time.monotonic()
    stored = fill(api, count)
    print(json.dumps({"what": "filled", "pods": count, "stored_bytes_each": stored, "seconds": round(time.monotonic() - begin, 1)}), flush=True)
    newest = "/api/v1/namespaces/bench/pods/web-5d4c7f9b8d-%05d?resourceVersion=0" % (count - 1)
    for _ in range(300):  # until the server's own cache has caught up
        try:
            api.get(newest)
            break
        except urllib.error.HTTPError:
            time.sleep(1)
    for mode in ("watch", "discover"):
        subprocess.run([BENCH, os.environ["KUBECONFIG"], mode], check=True, timeout=300)
    if len(sys.argv) > 2:
        print(json.dumps(run_peer(sys.argv[2], os.environ["KUBE_RUN"], 2 * count)), flush=True)


if __name__ == "__main__":
    main()
