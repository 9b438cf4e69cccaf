/* The head of a target's answer, line by line as libcurl hands it over: pure. */
#ifndef KVASS_PROXY_ANSWER_HEAD_H
#define KVASS_PROXY_ANSWER_HEAD_H

#include "base/errctx.h"
#include "base/view.h"

#define ANSWER_HEAD_BYTES_MAX ((size_t)256 << 10)

/* Zeroed to begin with. Texts are without control characters, cut to their room. */
struct answer_head {
    int status; /* 0: none yet, or no number */
    char reason[128], content_type[256], content_encoding[64];
    bool has_type, has_encoding; /* the first header of a name counts, as in Go */
    bool ended;                  /* its empty line has come: libcurl takes a head that is cut off for a whole one */
    size_t bytes;
};

/* Takes one line with its end. A status line begins anew: redirects and 1xx answers come before the real one. ERR_LIMIT
 * when the head is larger than ANSWER_HEAD_BYTES_MAX. */
int answer_head_take(struct answer_head *h, struct view line, struct errctx *err) MUST_CHECK;

#endif
