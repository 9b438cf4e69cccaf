"""Good configurations, and random mutations of them that break them more often than not."""
import copy
import json

# Values by what they break: types, ranges, and the little languages of durations, sizes, expressions, addresses and names.
ODD_VALUES = [None, "", "x", 0, 1, -1, 1.5, 1e99, 18446744073709551616, True, "yes", [], {}, ["x"], [None], [[]], {"x": 1}, {"x": None},
              "5", "5s", "1x", "-1s", "1.5s", "1h1h", "1s1h", "0s", "99999999999y", "10MB", "10mb", "1MiB2KiB", "-1KB", "(", "a**", "(?=x)", "(?P<n>",
              "a{1001}", "[z-a]", "\\C", "$1", "${1}_x", "a-b", "0a", "é", "http://", "http://[::1", ":x", "http://h:port/", "%zz", "http://%zz/",
              "//h/x", "ftp://h/", "http://h:1/x?y=z#f", "a/b", "*.yml", "a/*/b.yml", "a**.json", "x.json", "x.txt", "KEEP", "drop", "Replace", "v1", "v2",
              "TLS12", "TLS99", "utf8", "legacy", "underscores", "Bearer", "basic", "Basic", " ", "\n", "pod", "A", "srv", "NS"]
KEYS = ["nokey", "job_name", "scrape_interval", "regex", "action", "basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2",
        "tls_config", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header", "relabel_configs", "static_configs",
        "file_sd_configs", "url", "targets", "labels", "sample_limit", "body_size_limit", "metrics_path", "password", "password_file", "headers",
        "scrape_timeout", "target_label", "modulus", "replacement", "credentials", "credentials_file", "client_secret", "client_secret_file",
        "follow_redirects", "enable_http2", "honor_labels", "name", "http_headers", "scrape_protocols", "fallback_scrape_protocol",
        "metric_name_validation_scheme", "sigv4", "global", "scrape_configs", "rule_files", "port", "type", "names"]

RELABEL = [
    {"source_labels": ["a", "b"], "separator": "-", "regex": "(x)(.*)", "target_label": "c", "replacement": "$2-$1", "action": "replace"},
    {"action": "hashmod", "source_labels": ["__address__"], "modulus": 8, "target_label": "__tmp"},
    {"action": "keep", "source_labels": ["__tmp"], "regex": "[0-3]"},
    {"action": "labelmap", "regex": "__meta_(.+)", "replacement": "m_$1"},
    {"action": "labeldrop", "regex": "zone"},
    {"action": "lowercase", "source_labels": ["a"], "target_label": "a"},
    {"action": "keepequal", "source_labels": ["a"], "target_label": "b"},
]


def good(file):
    """Trees that promtool of every version accepts; `file` exists."""
    return [
        {"global": {"scrape_interval": "15s", "scrape_timeout": "5s", "evaluation_interval": "1m", "external_labels": {"a": "b", "c_1": "${X}"},
                    "query_log_file": "q.log"},
         "rule_files": ["rules/*.yml", "r.yml"],
         "scrape_configs": [
             {"job_name": "a", "honor_labels": True, "honor_timestamps": False, "params": {"module": ["x", "y"], "z[]": []},
              "scrape_interval": "1m30s", "scrape_timeout": "10s", "metrics_path": "/m", "scheme": "https", "body_size_limit": "10MB",
              "sample_limit": 5, "target_limit": 6, "label_limit": 7, "label_name_length_limit": 8, "label_value_length_limit": 9,
              "follow_redirects": False, "enable_http2": True, "basic_auth": {"username": "u", "password": "p"},
              "tls_config": {"ca_file": file, "cert_file": file, "key_file": file, "server_name": "s", "insecure_skip_verify": True,
                             "min_version": "TLS12", "max_version": "TLS13"},
              "proxy_url": "http://u:p@h:1/", "proxy_connect_header": {"X-A": ["b"]},
              "static_configs": [{"targets": ["h:1", "g"], "labels": {"x": "y"}}, {"targets": ["i"]}],
              "relabel_configs": RELABEL, "metric_relabel_configs": RELABEL[:2]},
             {"job_name": "b", "authorization": {"type": "X", "credentials": "c"}, "static_configs": [{"targets": ["h:2"]}]},
         ]},
        {"scrape_configs": [
            {"job_name": "files", "file_sd_configs": [{"files": ["t/*.json", "u.yaml"], "refresh_interval": "5m"}], "authorization":
             {"credentials_file": file}},
            {"job_name": "http", "http_sd_configs": [{"url": "https://h:1/sd?x=y", "refresh_interval": "30s", "basic_auth":
             {"username": "u", "password_file": file}, "tls_config": {"insecure_skip_verify": True}}], "bearer_token_file": file},
            {"job_name": "dns", "dns_sd_configs": [{"names": ["a.b", "c"], "type": "A", "port": 80, "refresh_interval": "30s"},
                                                   {"names": ["_x._tcp"]}],
             "oauth2": {"client_id": "i", "client_secret": "s", "token_url": "http://t/", "scopes": ["a"], "endpoint_params": {"k": "v"},
                        "tls_config": {"server_name": "x"}, "proxy_url": "http://p:1"}},
            {"job_name": "docker", "docker_sd_configs": [{"host": "unix:///var/run/docker.sock", "port": 80, "refresh_interval": "1m",
             "host_networking_host": "h", "filters": [{"name": "n", "values": ["v"]}]}], "bearer_token": "t"},
            {"job_name": "swarm", "dockerswarm_sd_configs": [{"host": "tcp://h:1", "role": "tasks", "port": 80,
             "filters": [{"name": "n", "values": ["v"]}]}]},
        ]},
        {"remote_write": [{"url": "http://r/", "remote_timeout": "5s", "name": "n", "headers": {"X-A": "b"}, "send_exemplars": True,
                           "write_relabel_configs": RELABEL[:3], "basic_auth": {"username": "u", "password": "p"},
                           "queue_config": {"capacity": 10, "max_shards": 5, "min_shards": 1, "max_samples_per_send": 10,
                                            "batch_send_deadline": "5s", "min_backoff": "1s", "max_backoff": "2s", "retry_on_http_429": True},
                           "metadata_config": {"send": True, "send_interval": "1m", "max_samples_per_send": 5}},
                          {"url": "http://s/", "name": "o"}],
         "remote_read": [{"url": "http://r/", "read_recent": True, "required_matchers": {"a": "b"}, "filter_external_labels": False,
                          "authorization": {"credentials": "c"}}, {"url": "http://s/"}],
         "alerting": {"alert_relabel_configs": RELABEL[:2], "alertmanagers": [
             {"scheme": "https", "path_prefix": "/p", "timeout": "5s", "api_version": "v2", "static_configs": [{"targets": ["am:1"]}],
              "relabel_configs": RELABEL[2:4], "tls_config": {"server_name": "x"}}]},
         "storage": {"tsdb": {"out_of_order_time_window": "1h"}, "exemplars": {"max_exemplars": 5}},
         "tracing": {"client_type": "grpc", "endpoint": "h:1", "sampling_fraction": 0.5, "insecure": True, "headers": {"a": "b"},
                     "compression": "gzip", "timeout": "5s"}},
    ]


def containers(tree):
    found = [tree]
    for child in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(child, (dict, list)):
            found += containers(child)
    return found


def change_one(rng, tree):
    at = rng.choice([c for c in containers(tree) if c] or [tree])
    kind = rng.random()
    if isinstance(at, list):
        i = rng.randrange(len(at))
        if kind < 0.2:
            at.append(copy.deepcopy(at[i]))  # duplicate jobs, names, protocols
        elif kind < 0.4:
            at[i] = None
        elif kind < 0.8 or isinstance(at[i], (dict, list)):
            at[i] = rng.choice(ODD_VALUES)
        else:
            del at[i]
        return
    key = rng.choice(list(at)) if at else "x"
    if kind < 0.5:
        at[key] = rng.choice(ODD_VALUES)
    elif kind < 0.65:
        at.pop(key, None)
    elif kind < 0.9:
        at[rng.choice(KEYS)] = rng.choice(ODD_VALUES)
    else:
        other = rng.choice([c for c in containers(tree) if isinstance(c, dict) and c])
        name = rng.choice(list(other))
        at[name] = copy.deepcopy(other[name])


def mutated(rng, file):
    """The text of a configuration that was good before some changes."""
    tree = copy.deepcopy(rng.choice(good(file)))
    for _ in range(rng.choice([1, 1, 1, 2])):
        change_one(rng, tree)
    text = json.dumps(tree, ensure_ascii=False, indent=rng.choice([None, 1]))
    if rng.random() < 0.03:
        text = text.replace('"job_name"', '"job_name": "twice", "job_name"', 1)
    return text
