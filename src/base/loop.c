/* Event loop and mailbox: see loop.h. The mailbox is a locked singly linked list swapped out whole by the owner. */
#include "base/loop.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

struct post {
    struct post *next;
    loop_fn *fn;
    void *data;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    pthread_mutex_t lock;
    struct post *first, **last; /* under lock */
    bool stopped;               /* under lock */
};

struct loop_timer {
    uv_timer_t uv;
    loop_fn *fn;
    void *data;
};

static void run_posts(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct post *p = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    while (p != NULL) {
        struct post *next = p->next;
        p->fn(p->data);
        free(p);
        p = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    run_posts(loop);
    pthread_mutex_lock(&loop->lock);
    bool stopped = loop->stopped;
    pthread_mutex_unlock(&loop->lock);
    if (stopped) {
        uv_stop(&loop->uv);
    }
}

struct loop *loop_new(void)
{
    struct loop *loop = mem_calloc(1, sizeof(*loop));
    invariant(uv_loop_init(&loop->uv) == 0);
    invariant(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    loop->wake.data = loop;
    pthread_mutex_init(&loop->lock, NULL);
    loop->last = &loop->first;
    return loop;
}

void loop_free(struct loop **handle)
{
    struct loop *loop = *handle;
    if (loop == NULL) {
        return;
    }
    loop_stop(loop);
    run_posts(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
    invariant(uv_loop_close(&loop->uv) == 0);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
    *handle = NULL;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

bool loop_post(struct loop *loop, loop_fn *fn, void *data)
{
    struct post *p = mem_alloc(sizeof(*p));
    *p = (struct post){.fn = fn, .data = data};
    pthread_mutex_lock(&loop->lock);
    bool accepted = !loop->stopped;
    if (accepted) {
        *loop->last = p;
        loop->last = &p->next;
        uv_async_send(&loop->wake);
    }
    pthread_mutex_unlock(&loop->lock);
    if (!accepted) {
        free(p);
    }
    return accepted;
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stopped = true;
    uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *t = uv->data;
    t->fn(t->data);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *data)
{
    struct loop_timer *t = mem_calloc(1, sizeof(*t));
    invariant(uv_timer_init(&loop->uv, &t->uv) == 0);
    t->uv.data = t;
    t->fn = fn;
    t->data = data;
    return t;
}

void loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms)
{
    uv_timer_start(&t->uv, on_timer, (uint64_t)(first_ms < 0 ? 0 : first_ms), (uint64_t)repeat_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_timer_free(struct loop_timer **t)
{
    if (*t != NULL) {
        uv_close((uv_handle_t *)&(*t)->uv, on_timer_closed);
        *t = NULL;
    }
}
