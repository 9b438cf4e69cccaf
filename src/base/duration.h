/* Durations and sizes as users write them. */
#ifndef KVASS_BASE_DURATION_H
#define KVASS_BASE_DURATION_H

#include "base/errctx.h"
#include "base/view.h"

#include <stdint.h>

/* Prometheus form: units y w d h m s ms, strictly largest first, no fraction, bare "0" allowed (2.42
 * model.ParseDuration). */
int duration_parse_prometheus(struct view text, int64_t *ret_ms, struct errctx *err) MUST_CHECK;

/* As Prometheus prints it: y and w only when they divide exactly, "0s" for zero and "" for less; buf of at least 48
 * bytes. Returns buf. */
#define DURATION_TEXT_MAX 48
char *duration_format_prometheus(int64_t ms, char buf[DURATION_TEXT_MAX]);

/* Go's time.ParseDuration: "1h30m", "1.5s", "300ms", "0"; also takes the d, w, y of Prometheus. Rounded to ms. */
int duration_parse_go(struct view text, int64_t *ret_ms, struct errctx *err) MUST_CHECK;

/* Prometheus sizes: numbers with a unit each, B KB KiB MB MiB GB GiB TB TiB PB PiB EB EiB, all powers of 1024: "10MB",
 * "1.5GB", "1KB512B". No sign; at most 2^63-1. */
int size_parse(struct view text, uint64_t *ret_bytes, struct errctx *err) MUST_CHECK;

/* With the largest unit that divides exactly: "64MB", "1000B". Returns buf. */
char *size_format(uint64_t bytes, char buf[DURATION_TEXT_MAX]);

#endif
