/* The fast scanner of the text format: takes whole lines of the usual shape, 64 bytes a step, and stops before the
 * first line it does not recognise, which is then for the careful parser. It never judges a line differently than
 * that parser would. */
#ifndef KVASS_EXPFMT_SCAN_H
#define KVASS_EXPFMT_SCAN_H

#include "expfmt/sample.h"
#include "relabel/relabel.h"

#include <stdint.h>

#define SCAN_STARTS_MAX  2048
#define SCAN_STARTS_STEP 512 /* a scan ends with room for less */
#define SCAN_LABEL_SLOTS 4096

struct scan {
    size_t line_bytes_max;
    enum prometheus_major major;
    bool wants_starts; /* note where sample lines begin */

    size_t taken;     /* bytes of whole lines */
    uint64_t samples; /* among them */
    size_t start_count;
    uint32_t starts[SCAN_STARTS_MAX]; /* offsets of sample lines */

    enum sample_type type; /* strict: of the last "# TYPE", also of those before the scan */
    uint16_t line_id;
    uint16_t label_slots[SCAN_LABEL_SLOTS]; /* strict: id of the line that last had a label name of this hash */
};

/* Bytes from which on a scan is worth starting, and the longest piece that may be given to one. */
#define SCAN_BYTES_MIN 128
#define SCAN_BYTES_MAX ((size_t)1 << 30)
/* With shorter limits for lines every line goes the careful way. */
#define SCAN_LINE_MAX_MIN 2048

/* base[-1] must be readable and be the end of a line; base is a line's start. Fills the second block of fields. */
typedef void scan_fn(struct scan *s, const char *base, size_t len);

/* The best this machine has; NULL when there is nothing faster than the careful way. */
scan_fn *scan_strict_fn(void);
scan_fn *scan_count_fn(void);

/* All of them, for tests: names[i] and functions[i], NULL-terminated. Those the machine lacks are left out. */
struct scan_variant {
    const char *name;
    scan_fn *strict, *count; /* either may be NULL */
};
size_t scan_variants(struct scan_variant ret[4]);

/* The careful judgement of a value and perhaps a timestamp, from behind the space to the line's end. */
bool scan_value_is_good(const char *begin, const char *end);

#if defined(__x86_64__)
scan_fn scan_strict_avx512, scan_count_avx512, scan_strict_avx2, scan_count_avx2, scan_count_sse2;
#endif

#endif
