/* Heads of answers: lines as a target may send them. What is kept is text without control characters, within its room. */
#include "base/invariant.h"
#include "base/mem.h"
#include "proxy/answer_head.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
    invariant(memchr(text, '\0', room) != NULL);
    for (; *text != '\0'; text++) {
        invariant((unsigned char)*text >= ' ' && *text != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer_head h = {0};
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t len = eol != NULL ? (size_t)(eol - at) + 1 : (size_t)(end - at);
        char *line = mem_dup(at, len); /* so that a step over its end is seen */
        int rc = answer_head_take(&h, view_make(line, len), NULL);
        free(line);
        invariant(h.status >= 0 && h.status <= 999 && (rc == 0) == (h.bytes <= ANSWER_HEAD_BYTES_MAX));
        check_text(h.reason, sizeof(h.reason));
        check_text(h.content_type, sizeof(h.content_type));
        check_text(h.content_encoding, sizeof(h.content_encoding));
        at += len;
    }
    return 0;
}
