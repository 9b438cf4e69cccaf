/* invariant(expr): programmer errors stop the process with their place, in release builds too; systemd restarts us.
 * Never for input, files or peers: those get an errctx. */
#ifndef KVASS_BASE_INVARIANT_H
#define KVASS_BASE_INVARIANT_H

#define invariant(expr) ((expr) ? (void)0 : invariant_failed(#expr, __FILE__, __LINE__, __func__))

void invariant_failed(const char *expr, const char *file, int line, const char *func) __attribute__((noreturn));

/* Long-lived objects carry `uint32_t magic` first; MAGIC_CHECK is a function's first line. */
#define MAGIC_CHECK(obj, value) invariant((obj) != NULL && (obj)->magic == (value))

#endif
