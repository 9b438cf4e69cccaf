/* The metrics registry: see metrics.h. One lock guards the lists of series; values are atomic doubles. */
#include "base/metrics.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static const double BUCKETS[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10};
#define BUCKET_COUNT (sizeof(BUCKETS) / sizeof(BUCKETS[0]))

struct metric_cell {
    struct metric_cell *next;
    char *labels; /* rendered: name="value",...; "" when none */
    _Atomic double value; /* of a histogram: the sum */
    _Atomic uint64_t buckets[BUCKET_COUNT + 1];
};

static const struct metric_info INFO[METRIC_COUNT] = {
#define METRIC(id, kind_, name_, labels_, help_)                                                                       \
    [METRIC_##id] = {.name = name_, .labels = labels_, .help = help_, .kind = METRIC_KIND_##kind_},
#include "base/metrics.def"
#undef METRIC
};

#define LABELS_BYTES_MAX ((size_t)4096) /* a longer set is counted as "other" */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric_cell *cells[METRIC_COUNT];
static unsigned cell_counts[METRIC_COUNT];

const struct metric_info *metric_info(enum metric_id id)
{
    invariant(id < METRIC_COUNT);
    return &INFO[id];
}

static void put_label(struct bytes *out, struct view name, const char *value)
{
    if (out->len > 0) {
        bytes_append_char(out, ',');
    }
    bytes_append_view(out, name);
    bytes_append_str(out, "=\"");
    for (; *value != '\0'; value++) {
        size_t step = utf8_sequence_len(value, strlen(value));
        if (step == 0) {
            bytes_append_str(out, "\xef\xbf\xbd"); /* one bad byte would make the whole page unreadable */
            continue;
        }
        if (step > 1) {
            bytes_append(out, value, step);
            value += step - 1;
            continue;
        }
        switch (*value) {
        case '\\':
            bytes_append_str(out, "\\\\");
            break;
        case '"':
            bytes_append_str(out, "\\\"");
            break;
        case '\n':
            bytes_append_str(out, "\\n");
            break;
        default:
            bytes_append_char(out, *value);
        }
    }
    bytes_append_char(out, '"');
}

/* Values come from ap, or are all "other" when ap is NULL. */
static void render_labels(struct bytes *out, const char *names, va_list *ap)
{
    while (*names != '\0') {
        size_t len = strcspn(names, ",");
        const char *value = ap != NULL ? va_arg(*ap, const char *) : "other";
        put_label(out, view_make(names, len), value != NULL ? value : "");
        names += len + (names[len] == ',');
    }
}

static struct metric_cell *find_or_add(enum metric_id id, const char *labels, bool may_add)
{
    for (struct metric_cell *c = cells[id]; c != NULL; c = c->next) {
        if (strcmp(c->labels, labels) == 0) {
            return c;
        }
    }
    if (!may_add) {
        return NULL;
    }
    struct metric_cell *c = mem_calloc(1, sizeof(*c));
    c->labels = mem_strdup(labels);
    c->next = cells[id];
    cells[id] = c;
    cell_counts[id]++;
    return c;
}

struct metric_cell *metric_cell(enum metric_id id, ...)
{
    struct bytes labels;
    va_list ap;
    invariant(id < METRIC_COUNT);
    bytes_init(&labels, LABELS_BYTES_MAX);
    va_start(ap, id);
    va_list values;
    va_copy(values, ap);
    render_labels(&labels, INFO[id].labels, &values);
    va_end(values);
    va_end(ap);
    pthread_mutex_lock(&lock);
    struct metric_cell *c = NULL;
    if (!labels.overflow) {
        c = find_or_add(id, bytes_view(&labels).base, cell_counts[id] < METRIC_SERIES_MAX);
    }
    if (c == NULL) {
        bytes_clear(&labels);
        render_labels(&labels, INFO[id].labels, NULL);
        c = find_or_add(id, bytes_view(&labels).base, true);
    }
    pthread_mutex_unlock(&lock);
    bytes_done(&labels);
    return c;
}

void metric_cell_add(struct metric_cell *cell, double delta)
{
    double old = atomic_load_explicit(&cell->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&cell->value, &old, old + delta, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void metric_cell_set(struct metric_cell *cell, double value)
{
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
}

void metric_cell_observe(struct metric_cell *cell, double value)
{
    size_t i = 0;
    while (i < BUCKET_COUNT && value > BUCKETS[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&cell->buckets[i], 1, memory_order_relaxed);
    metric_cell_add(cell, value);
}

double metric_cell_get(const struct metric_cell *cell)
{
    return atomic_load_explicit(&cell->value, memory_order_relaxed);
}

void metric_forget(enum metric_id id)
{
    invariant(id < METRIC_COUNT);
    pthread_mutex_lock(&lock);
    struct metric_cell *c = cells[id];
    cells[id] = NULL;
    cell_counts[id] = 0;
    pthread_mutex_unlock(&lock);
    while (c != NULL) {
        struct metric_cell *next = c->next;
        free(c->labels);
        free(c);
        c = next;
    }
}

static void put_number(struct bytes *out, double d)
{
    if (isnan(d)) {
        bytes_append_str(out, "NaN");
    } else if (isinf(d)) {
        bytes_append_str(out, d > 0 ? "+Inf" : "-Inf");
    } else if (d == floor(d) && fabs(d) < 1e15) {
        bytes_printf(out, "%.0f", d);
    } else {
        bytes_printf(out, "%.17g", d);
    }
}

static void put_sample(struct bytes *out, const char *name, const char *suffix, const char *labels, const char *extra,
                       double value)
{
    bytes_printf(out, "%s%s", name, suffix);
    if (*labels != '\0' || *extra != '\0') {
        bytes_printf(out, "{%s%s%s}", labels, *labels != '\0' && *extra != '\0' ? "," : "", extra);
    }
    bytes_append_char(out, ' ');
    put_number(out, value);
    bytes_append_char(out, '\n');
}

static void write_histogram(struct bytes *out, const char *name, const struct metric_cell *c)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= BUCKET_COUNT; i++) {
        char le[32];
        total += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
        if (i < BUCKET_COUNT) {
            snprintf(le, sizeof(le), "le=\"%g\"", BUCKETS[i]);
        } else {
            snprintf(le, sizeof(le), "le=\"+Inf\"");
        }
        put_sample(out, name, "_bucket", c->labels, le, (double)total);
    }
    put_sample(out, name, "_sum", c->labels, "", metric_cell_get(c));
    put_sample(out, name, "_count", c->labels, "", (double)total);
}

static void write_one(struct bytes *out, enum metric_id id)
{
    static const char *const KINDS[] = {"counter", "gauge", "histogram"};
    const struct metric_info *info = &INFO[id];
    if (cells[id] == NULL && info->labels[0] != '\0') {
        return;
    }
    bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name, KINDS[info->kind]);
    if (cells[id] == NULL && info->kind != METRIC_KIND_HISTOGRAM) {
        put_sample(out, info->name, "", "", "", 0);
    }
    for (const struct metric_cell *c = cells[id]; c != NULL; c = c->next) {
        if (info->kind == METRIC_KIND_HISTOGRAM) {
            write_histogram(out, info->name, c);
        } else {
            put_sample(out, info->name, "", c->labels, "", metric_cell_get(c));
        }
    }
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = 0;
    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n - 3; /* ".", ".." and the folder itself */
}

static void write_process(struct bytes *out)
{
    struct rusage usage;
    unsigned long size = 0, resident = 0;
    getrusage(RUSAGE_SELF, &usage);
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fscanf(statm, "%lu %lu", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(statm);
    }
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    bytes_append_str(out, "# HELP process_cpu_seconds_total User and system CPU time.\n"
                          "# TYPE process_cpu_seconds_total counter\n");
    put_sample(out, "process_cpu_seconds_total", "", "", "", cpu);
    bytes_append_str(out, "# HELP process_resident_memory_bytes Resident memory.\n"
                          "# TYPE process_resident_memory_bytes gauge\n");
    put_sample(out, "process_resident_memory_bytes", "", "", "", (double)resident * (double)sysconf(_SC_PAGESIZE));
    bytes_append_str(out, "# HELP process_open_fds Open file descriptors.\n# TYPE process_open_fds gauge\n");
    put_sample(out, "process_open_fds", "", "", "", open_fds());
}

void metrics_write(struct bytes *out)
{
    metric_set(METRIC_BUILD_INFO, 1, PACKAGE_VERSION);
    pthread_mutex_lock(&lock);
    for (int id = 0; id < METRIC_COUNT; id++) {
        write_one(out, (enum metric_id)id);
    }
    pthread_mutex_unlock(&lock);
    write_process(out);
}
