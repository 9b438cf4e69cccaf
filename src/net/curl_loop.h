/* One libcurl multi on one libuv loop: multi_socket through one inner epoll fd under one uv_poll. One per thread; easy
 * handles never cross threads. curl_net_init once, before threads.
 *
 * Rules for callers: nothing that removes, adds or resumes a transfer from inside a curl callback (write, header, ...):
 * record what happened and act in `flush` or `on_done`. CURLOPT_PRIVATE belongs to this file. */
#ifndef KVASS_NET_CURL_LOOP_H
#define KVASS_NET_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

void curl_net_init(void); /* also ignores SIGPIPE, which TLS writes may raise */

struct curl_loop;

struct curl_loop_conf {
    long
        max_connections; /* kept open in all (CURLMOPT_MAXCONNECTS); 0 = libcurl's four times the transfers under way */
    long max_host_connections; /* 0 = no limit */
    bool no_multiplex; /* an HTTP/2 connection carries one transfer at a time: a paused one would hold up the others */
};

struct curl_loop *curl_loop_new(uv_loop_t *uv, const struct curl_loop_conf *conf);

/* All transfers must have ended or been cancelled and all handles given back. Memory goes once the loop has run the
 * close callbacks. */
void curl_loop_free(struct curl_loop **cl);

/* An easy handle with the constant options set (NOSIGNAL, no CApath, sockets tracked, protocols http and https, no env
 * proxy, HTTP/1.1, no redirects). Give it back with curl_loop_easy_put; handles are pooled and reset. */
CURL *curl_loop_easy_get(struct curl_loop *cl);
void curl_loop_easy_put(struct curl_loop *cl, CURL *easy);

/* A list an option of easy points to (libcurl does not copy lists): freed when the handle is put back, or replaced. Not
 * while it runs. */
void curl_loop_keep(CURL *easy, struct curl_slist *list);

/* Keeps the connections of this handle's transfers with those of the same key (a hash of what is connected to). For
 * whoever talks to thousands of hosts: libcurl walks through a whole set of kept connections at the end of each
 * transfer. Between get and start. */
void curl_loop_keep_by(struct curl_loop *cl, CURL *easy, uint64_t key);

/* Starts the transfer; on_done runs once, from the loop, never from inside a curl callback, after the handle was
 * removed. */
typedef void curl_done_fn(void *data, CURL *easy, CURLcode code);
void curl_loop_start(struct curl_loop *cl, CURL *easy, curl_done_fn *on_done, void *data);

/* Ends a running transfer without calling on_done. Not from inside a curl callback. */
void curl_loop_cancel(struct curl_loop *cl, CURL *easy);

/* Resumes a transfer whose write callback paused it (accept the data, then curl_easy_pause(easy, CURLPAUSE_RECV)).
 * Held-back bytes may reach the write callback before this returns; `flush` runs soon after in any case, and on_done
 * when the callback gave up. Not from inside a curl callback. */
void curl_loop_resume(struct curl_loop *cl, CURL *easy);

/* `flush` runs after every batch of socket events, before the on_done calls of that batch: the place to send on what
 * the write callbacks collected (no h2o_send from inside curl callbacks). */
void curl_loop_on_flush(struct curl_loop *cl, void (*flush)(void *data), void *data);

/* What went wrong with a transfer that ended with code, in libcurl's most specific words; valid until the handle is put
 * back. */
const char *curl_loop_error(CURL *easy, CURLcode code);

#endif
