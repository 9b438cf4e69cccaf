/* Lists of an Engine API: containers with their networks and ports, swarm services, tasks and nodes; what a bad object
 * costs; filters and versions. */
#include "base/bytes.h"
#include "discovery/docker_engine.h"
#include "discovery/docker_read.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static struct sd_group group;
static struct target_group *made;

static json_t *load(const char *text)
{
    json_t *root;
    struct errctx err = ERRCTX_INIT;
    if (sd_json_load("x", view_of(text), JSON_DECODE_INT_AS_REAL, &root, &err) != 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    return root;
}

static int begin(void **state)
{
    (void)state;
    sd_group_init(&group);
    made = NULL;
    return 0;
}

static int end(void **state)
{
    (void)state;
    target_group_unref(made);
    sd_group_done(&group);
    return 0;
}

static void read_containers(const struct docker_rules *rules, const char *containers, const char *networks)
{
    json_t *a = load(containers), *b = load(networks);
    docker_read_containers(rules, a, b, &group);
    made = sd_group_finish(&group, "Docker", NULL);
    json_decref(a);
    json_decref(b);
}

static void assert_target(size_t i, const char *name, const char *value)
{
    assert_true(i < made->count);
    struct view v = labels_get(made->targets[i], view_of(name));
    if (!view_is(v, value)) {
        fail_msg("%s of target %zu is \"%.*s\", expected \"%s\"", name, i, VIEW_FMT(v), value);
    }
}

static const struct docker_rules OLD = {80, "localhost", false, false}, NEW = {80, "localhost", true, true};
#define TWO_NETWORKS                                                                                                   \
    "\"NetworkSettings\":{\"Networks\":{\"zoo\":{\"NetworkID\":\"nz\",\"IPAddress\":\"10.1.0.2\"},"                    \
    "\"bar\":{\"NetworkID\":\"nb\",\"IPAddress\":\"10.2.0.2\"},\"abc\":null}}"

static void test_ports_and_networks(void **state)
{
    (void)state;
    read_containers(
        &OLD,
        "[{\"Id\":\"c\",\"Names\":[\"/web\",\"/x\"],\"Labels\":{\"a.b\":\"v\",\"gr\\u00fcn\":\"w\"},"
        "\"HostConfig\":{\"NetworkMode\":\"zoo\"}," TWO_NETWORKS ",\"Ports\":["
        "{\"PrivatePort\":80,\"PublicPort\":8080,\"IP\":\"0.0.0.0\",\"Type\":\"tcp\"},"
        "{\"PrivatePort\":81,\"Type\":\"tcp\"},{\"PrivatePort\":82,\"Type\":\"udp\"}]}]",
        "[{\"Id\":\"nz\",\"Name\":\"zoo\",\"Scope\":\"local\",\"Internal\":true,\"Labels\":{\"l\":\"m\"}}]");
    assert_int_equal(made->count, 4);
    assert_target(0, "__address__", "10.1.0.2:80");
    assert_target(0, "__meta_docker_container_id", "c");
    assert_target(0, "__meta_docker_container_name", "/web");
    assert_target(0, "__meta_docker_container_label_a_b", "v");
    assert_target(0, "__meta_docker_container_label_gr_n", "w");
    assert_target(0, "__meta_docker_container_network_mode", "zoo");
    assert_target(0, "__meta_docker_network_name", "zoo");
    assert_target(0, "__meta_docker_network_internal", "true");
    assert_target(0, "__meta_docker_network_ingress", "false");
    assert_target(0, "__meta_docker_network_label_l", "m");
    assert_target(0, "__meta_docker_network_ip", "10.1.0.2");
    assert_target(0, "__meta_docker_port_private", "80");
    assert_target(0, "__meta_docker_port_public", "8080");
    assert_target(0, "__meta_docker_port_public_ip", "0.0.0.0");
    assert_target(1, "__address__", "10.1.0.2:81");
    assert_target(1, "__meta_docker_port_public", "");
    assert_target(2, "__address__", "10.2.0.2:80");
    assert_target(2, "__meta_docker_network_id", ""); /* a network nobody lists */
    assert_int_equal(group.skipped, 0);
}

static void test_first_network_only(void **state)
{
    (void)state;
    read_containers(&NEW, "[{\"Id\":\"c\",\"Names\":[\"/w\"]," TWO_NETWORKS "}]", "[]");
    assert_int_equal(made->count, 1);
    assert_target(0, "__address__", "10.2.0.2:80"); /* the fallback port, the first name that has a network */
}

static void test_host_and_shared_networks(void **state)
{
    static const char CONTAINERS[] =
        "[{\"Id\":\"a\",\"Names\":[\"/host\"],\"HostConfig\":{\"NetworkMode\":\"host\"},"
        "\"NetworkSettings\":{\"Networks\":{\"host\":{\"IPAddress\":\"\"}}}},"
        "{\"Id\":\"b\",\"Names\":[\"/side\"],\"HostConfig\":{\"NetworkMode\":\"container:c\"},"
        "\"NetworkSettings\":{\"Networks\":{}},\"Ports\":[{\"PrivatePort\":9,\"Type\":\"tcp\"}]},"
        "{\"Id\":\"c\",\"Names\":[\"/main\"],\"HostConfig\":{\"NetworkMode\":\"container:d\"}},"
        "{\"Id\":\"d\",\"Names\":[],\"HostConfig\":{\"NetworkMode\":\"n\"},"
        "\"NetworkSettings\":{\"Networks\":{\"n\":{\"IPAddress\":\"10.0.0.9\"}}}},"
        "{\"Id\":\"e\",\"Names\":[\"/e\"],\"HostConfig\":{\"NetworkMode\":\"container:f\"}},"
        "{\"Id\":\"f\",\"Names\":[\"/f\"],\"HostConfig\":{\"NetworkMode\":\"container:e\"}}]";
    (void)state;
    read_containers(&NEW, CONTAINERS, "[]");
    assert_int_equal(made->count, 3); /* e and f only point at each other, d has no name */
    assert_target(0, "__address__", "localhost");
    assert_target(1, "__address__", "10.0.0.9:9");
    assert_target(2, "__address__", "10.0.0.9:80");
    target_group_unref(made);
    read_containers(&OLD, CONTAINERS, "[]");
    assert_int_equal(made->count, 1);
}

static void test_bad_containers_cost_themselves(void **state)
{
    static const char *const BAD[] = {
        "null",
        "5",
        "[]",
        "{\"Names\":\"x\"}",
        "{\"Names\":[1],\"NetworkSettings\":{\"Networks\":{\"n\":{}}}}",
        "{\"Names\":[\"x\"],\"Labels\":{\"a\":1},\"NetworkSettings\":{\"Networks\":{\"n\":{}}}}",
        "{\"Names\":[\"x\"],\"NetworkSettings\":{\"Networks\":{\"n\":{\"IPAddress\":1}}}}",
        "{\"Names\":[\"x\"],\"Ports\":{},\"NetworkSettings\":{\"Networks\":{\"n\":{}}}}",
        "{\"Names\":[\"x\"],\"Ports\":[{\"Type\":\"tcp\",\"PrivatePort\":65536}],\"NetworkSettings\":{\"Networks\":{"
        "\"n\":{}}}}",
        "{\"Names\":[\"x\"],\"Ports\":[7],\"Id\":1,\"NetworkSettings\":{\"Networks\":{\"n\":{}}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *text =
            mem_printf("[%s,{\"Id\":\"g\",\"Names\":[\"/g\"],\"NetworkSettings\":{\"Networks\":{\"n\":{\"IPAddress\":"
                       "\"10.0.0.1\"}}}}]",
                       BAD[i]);
        target_group_unref(made);
        read_containers(&OLD, text, "[]");
        if (made->count != 1) {
            fail_msg("%s: %zu targets", BAD[i], made->count);
        }
        free(text);
    }
    assert_true(group.skipped >= 8);
}

/* One container of 60 kB and 20,000 ports would be more than a gigabyte. */
static void test_labels_times_ports_are_bounded(void **state)
{
    struct bytes text;
    (void)state;
    bytes_init(&text, 8 << 20);
    bytes_append_str(&text, "[{\"Id\":\"c\",\"Names\":[\"/c\"],\"Labels\":{\"x\":\"");
    for (int i = 0; i < 60000; i++) {
        bytes_append_char(&text, 'x');
    }
    bytes_append_str(&text, "\"},\"NetworkSettings\":{\"Networks\":{\"n\":{}}},\"Ports\":[");
    for (int i = 1; i < 20000; i++) {
        bytes_printf(&text, "%s{\"Type\":\"tcp\",\"PrivatePort\":%d}", i != 1 ? "," : "", i);
    }
    bytes_append_str(&text, "]}]");
    read_containers(&OLD, bytes_view(&text).base, "[]");
    assert_int_equal(made->count + group.skipped, 19999);
    assert_true(made->count > 4000 && made->count < 5000);
    bytes_done(&text);
}

#define SERVICE                                                                                                        \
    "{\"ID\":\"s1\",\"Spec\":{\"Name\":\"web\",\"Labels\":{\"k\":\"v\"},\"TaskTemplate\":{\"ContainerSpec\":"          \
    "{\"Image\":\"img\",\"Hostname\":\"h\"}},\"Mode\":{\"Replicated\":{\"Replicas\":3}}},\"Endpoint\":{\"Ports\":["    \
    "{\"Name\":\"http\",\"Protocol\":\"tcp\",\"PublishedPort\":8080,\"PublishMode\":\"ingress\"},"                     \
    "{\"Protocol\":\"udp\",\"PublishedPort\":53}],\"VirtualIPs\":[{\"NetworkID\":\"n1\",\"Addr\":\"10.0.0.2/24\"},"    \
    "{\"NetworkID\":\"n1\",\"Addr\":\"fd00::0:2/64\"}]},\"UpdateStatus\":{\"State\":\"completed\"}}"
#define NETWORKS "[{\"Id\":\"n1\",\"Name\":\"ingress\",\"Ingress\":true}]"

static void test_services(void **state)
{
    json_t *services =
        load("[" SERVICE ",{\"ID\":\"s2\",\"Spec\":{\"Mode\":{\"Global\":{}}},\"Endpoint\":{\"VirtualIPs\":"
             "[{\"Addr\":\"10.0.0.3/32\"},{\"Addr\":\"10.0.0.4\"},{\"Addr\":\"10.0.0.300/24\"}]}}]");
    json_t *networks = load(NETWORKS);
    (void)state;
    swarm_read_services(90, services, networks, &group);
    made = sd_group_finish(&group, "DockerSwarm", NULL);
    assert_int_equal(made->count, 3);
    assert_int_equal(group.skipped, 2);
    assert_target(0, "__address__", "10.0.0.2:8080");
    assert_target(0, "__meta_dockerswarm_service_id", "s1");
    assert_target(0, "__meta_dockerswarm_service_name", "web");
    assert_target(0, "__meta_dockerswarm_service_mode", "replicated");
    assert_target(0, "__meta_dockerswarm_service_label_k", "v");
    assert_target(0, "__meta_dockerswarm_service_task_container_image", "img");
    assert_target(0, "__meta_dockerswarm_service_task_container_hostname", "h");
    assert_target(0, "__meta_dockerswarm_service_updating_status", "completed");
    assert_target(0, "__meta_dockerswarm_service_endpoint_port_name", "http");
    assert_target(0, "__meta_dockerswarm_service_endpoint_port_publish_mode", "ingress");
    assert_target(0, "__meta_dockerswarm_network_ingress", "true");
    assert_target(1, "__address__", "[fd00::2]:8080");
    assert_target(2, "__address__", "10.0.0.3:90");
    assert_target(2, "__meta_dockerswarm_service_mode", "global");
    json_decref(services);
    json_decref(networks);
}

static void test_tasks(void **state)
{
    json_t *services = load("[" SERVICE "]"), *networks = load(NETWORKS);
    json_t *nodes = load("[{\"ID\":\"w1\",\"Spec\":{\"Role\":\"worker\",\"Labels\":{\"z\":\"1\"}},\"Status\":{\"Addr\":"
                         "\"192.0.2.1\"}}]");
    json_t *tasks = load(
        "[{\"ID\":\"t1\",\"Slot\":2,\"ServiceID\":\"s1\",\"NodeID\":\"w1\",\"DesiredState\":\"running\",\"Status\":{"
        "\"State\":"
        "\"running\",\"ContainerStatus\":{\"ContainerID\":\"cid\"},\"PortStatus\":{\"Ports\":[{\"Protocol\":\"tcp\","
        "\"PublishedPort\":81,\"PublishMode\":\"host\"}]}},\"Spec\":{\"ContainerSpec\":{\"Labels\":{\"x\":\"y\"}}},"
        "\"NetworksAttachments\":[{\"Network\":{\"ID\":\"n1\"},\"Addresses\":[\"10.0.0.7/24\"]}]},"
        "{\"ID\":\"t2\",\"ServiceID\":\"gone\",\"NodeID\":\"gone\",\"NetworksAttachments\":[{\"Addresses\":[\"10.0.0.8/"
        "24\",7]}]},"
        "{\"ID\":\"t3\",\"Slot\":\"x\",\"NetworksAttachments\":[{\"Addresses\":[\"10.0.0.9/24\"]}]}]");
    (void)state;
    swarm_read_tasks(90, tasks, services, nodes, networks, &group);
    made = sd_group_finish(&group, "DockerSwarm", NULL);
    assert_int_equal(made->count, 3);
    assert_target(0, "__address__", "192.0.2.1:81");
    assert_target(0, "__meta_dockerswarm_task_port_publish_mode", "host");
    assert_target(0, "__meta_dockerswarm_task_slot", "2");
    assert_target(0, "__meta_dockerswarm_task_container_id", "cid");
    assert_target(0, "__meta_dockerswarm_container_label_x", "y");
    assert_target(0, "__meta_dockerswarm_node_label_z", "1");
    assert_target(0, "__meta_dockerswarm_service_name", "web");
    assert_target(1, "__address__", "10.0.0.7:8080");
    assert_target(1, "__meta_dockerswarm_network_name", "ingress");
    assert_target(1, "__meta_dockerswarm_task_port_publish_mode", "ingress");
    assert_target(2, "__address__", "10.0.0.8:90");
    assert_target(2, "__meta_dockerswarm_service_name", "");
    assert_int_equal(group.skipped, 2);
    json_decref(services);
    json_decref(networks);
    json_decref(nodes);
    json_decref(tasks);
}

static void test_nodes(void **state)
{
    json_t *nodes = load(
        "[{\"ID\":\"m1\",\"Spec\":{\"Role\":\"manager\",\"Availability\":\"active\"},\"Description\":{\"Hostname\":"
        "\"h1\",\"Platform\":{\"Architecture\":\"x86_64\",\"OS\":\"linux\"},\"Engine\":{\"EngineVersion\":\"20.10\"}},"
        "\"Status\":{\"State\":\"ready\",\"Addr\":\"fd00::1\"},\"ManagerStatus\":{\"Leader\":true,"
        "\"Reachability\":\"reachable\",\"Addr\":\"a:2377\"}},{\"ManagerStatus\":{\"Leader\":1}},[]]");
    (void)state;
    swarm_read_nodes(80, nodes, &group);
    made = sd_group_finish(&group, "DockerSwarm", NULL);
    assert_int_equal(made->count, 1);
    assert_int_equal(group.skipped, 2);
    assert_target(0, "__address__", "[fd00::1]:80");
    assert_target(0, "__meta_dockerswarm_node_engine_version", "20.10");
    assert_target(0, "__meta_dockerswarm_node_manager_leader", "true");
    assert_target(0, "__meta_dockerswarm_node_manager_reachability", "reachable");
    assert_target(0, "__meta_dockerswarm_node_manager_address", "a:2377");
    assert_target(0, "__meta_dockerswarm_node_platform_os", "linux");
    json_decref(nodes);
}

static void test_versions(void **state)
{
    static const char *const CASES[][2] = {{"1.41", "1.41"}, {"1.99", "1.47"},       {"1.12", "1.12"},
                                           {"", "1.24"},     {"2.0", "1.24"},        {"1.", "1.24"},
                                           {"1.x", "1.24"},  {"1.999999999", "1.24"}};
    char buf[16];
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_string_equal(docker_version_choose(view_of(CASES[i][0]), buf), CASES[i][1]);
    }
}

static void test_filters(void **state)
{
    struct arena *arena = arena_new();
    struct yaml_node *root = NULL;
    const char *text =
        "[{name: label, values: ['a=b', c]}, {name: id, values: [x]}, {name: label, values: [d]}, {name: none}]";
    (void)state;
    assert_int_equal(yaml_parse(arena, "f", view_of(text), &root, NULL), 0);
    char *filters = docker_filters_text(root);
    assert_string_equal(filters,
                        "filters=%7B%22id%22%3A%7B%22x%22%3Atrue%7D%2C%22label%22%3A%7B%22a%3Db%22%3Atrue%2C%22c%22%3A"
                        "true%2C%22d%22%3Atrue%7D%7D");
    free(filters);
    filters = docker_filters_text(NULL);
    assert_string_equal(filters, "");
    free(filters);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ports_and_networks, begin, end),
        cmocka_unit_test_setup_teardown(test_first_network_only, begin, end),
        cmocka_unit_test_setup_teardown(test_host_and_shared_networks, begin, end),
        cmocka_unit_test_setup_teardown(test_bad_containers_cost_themselves, begin, end),
        cmocka_unit_test_setup_teardown(test_labels_times_ports_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(test_services, begin, end),
        cmocka_unit_test_setup_teardown(test_tasks, begin, end),
        cmocka_unit_test_setup_teardown(test_nodes, begin, end),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
