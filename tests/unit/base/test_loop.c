/* Event loops: posts of several threads all run, each thread's in its order, and a stopped loop refuses them. */
#include "base/loop.h"
#include "base_test.h"

#include <pthread.h>

#define POSTERS 3
#define POSTS   3000

struct sink {
    struct loop *loop;
    pthread_t owner;
    int next[POSTERS];
    int total;
    bool in_order, on_owner;
};

struct message {
    struct sink *sink;
    int poster, number;
};

static void on_message(void *data)
{
    struct message *m = data;
    struct sink *s = m->sink;
    s->in_order = s->in_order && s->next[m->poster] == m->number;
    s->next[m->poster] = m->number + 1;
    s->on_owner = s->on_owner && pthread_equal(s->owner, pthread_self());
    if (++s->total == POSTERS * POSTS) {
        loop_stop(s->loop);
    }
    free(m);
}

struct poster {
    struct sink *sink;
    int id;
};

static void *post_many(void *data)
{
    struct poster *p = data;
    for (int i = 0; i < POSTS; i++) {
        struct message *m = mem_alloc(sizeof(*m));
        *m = (struct message){p->sink, p->id, i};
        if (!loop_post(p->sink->loop, on_message, m)) {
            free(m);
        }
    }
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    (void)state;
    struct sink sink = {.loop = loop_new(), .owner = pthread_self(), .in_order = true, .on_owner = true};
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){&sink, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    loop_run(sink.loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(sink.total, POSTERS * POSTS);
    assert_true(sink.in_order);
    assert_true(sink.on_owner);
    loop_free(&sink.loop);
    assert_null(sink.loop);
}

static void count_up(void *data)
{
    ++*(int *)data;
}

static void test_stopped_loop_refuses(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    int ran = 0;
    assert_true(loop_post(loop, count_up, &ran));
    loop_stop(loop);
    assert_false(loop_post(loop, count_up, &ran));
    loop_run(loop); /* returns at once */
    loop_free(&loop);
    assert_int_equal(ran, 1); /* what was accepted ran */
    loop_free(&loop);
}

struct ticker {
    struct loop *loop;
    struct loop_timer *repeating, *once;
    int ticks, onces;
};

static void on_tick(void *data)
{
    struct ticker *t = data;
    if (++t->ticks == 3) {
        loop_timer_free(&t->repeating);
        loop_stop(t->loop);
    }
}

static void on_once(void *data)
{
    struct ticker *t = data;
    t->onces++;
}

static void test_timers(void **state)
{
    (void)state;
    struct ticker t = {.loop = loop_new()};
    struct loop_timer *stopped = loop_timer_new(t.loop, on_once, &t);
    t.repeating = loop_timer_new(t.loop, on_tick, &t);
    t.once = loop_timer_new(t.loop, on_once, &t);
    loop_timer_start(t.repeating, 0, 1);
    loop_timer_start(t.once, -5, 0); /* the past means now */
    loop_timer_start(stopped, 0, 1);
    loop_timer_stop(stopped);
    loop_run(t.loop);
    assert_int_equal(t.ticks, 3);
    assert_int_equal(t.onces, 1);
    assert_null(t.repeating);
    loop_timer_free(&t.once);
    loop_timer_free(&stopped);
    loop_free(&t.loop);
}

static void *run_loop(void *data)
{
    loop_run(data);
    return NULL;
}

static void test_stop_from_another_thread(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    pthread_t thread;
    int ran = 0;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
    assert_true(loop_post(loop, count_up, &ran));
    loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(&loop);
    assert_int_equal(ran, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_from_threads),
        cmocka_unit_test(test_stopped_loop_refuses),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_stop_from_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
