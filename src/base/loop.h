/* A thread's event loop: libuv plus a mailbox other threads may post closures to. Every thread of the daemon (control,
 * API, workers) has one; state belongs to the loop that writes it, and messages travel by loop_post. */
#ifndef KVASS_BASE_LOOP_H
#define KVASS_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop;
typedef void loop_fn(void *data);

struct loop *loop_new(void);
void loop_free(struct loop **loop); /* runs remaining closures and close callbacks first */

uv_loop_t *loop_uv(struct loop *loop);

/* From any thread: fn(data) runs on the loop's thread, in posting order. False after loop_stop: fn will not run. */
bool loop_post(struct loop *loop, loop_fn *fn, void *data);

void loop_run(struct loop *loop);  /* until loop_stop */
void loop_stop(struct loop *loop); /* from any thread */

/* Timers of this loop; the handle is owned by the caller and closed by timer_free. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *data);
void loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms); /* repeat 0 = once */
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer **t);

#endif
