/* Content decoders in streaming form: gzip (ISA-L, multi-member, CRC checked), zstd (window capped), identity. */
#ifndef KVASS_EXPFMT_DECODE_H
#define KVASS_EXPFMT_DECODE_H

#include "base/errctx.h"
#include "base/view.h"

enum content_encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_ZSTD };

/* Exact lower-case names as Prometheus takes them; others: false. Empty is identity. */
bool content_encoding_parse(struct view name, enum content_encoding *ret);

struct decoder;

struct decoder *decoder_new(enum content_encoding encoding); /* gzip or zstd */
void decoder_reset(struct decoder *d);
void decoder_free(struct decoder **d);

/* Called with each decoded block (at most 64 KiB); a non-zero return stops and is handed back by decoder_feed.
 * ERR_AGAIN (no error recorded) only pauses: the block counts as taken, and decoder_feed goes on when it is called with
 * the last decoder_unused() bytes of its input, still at the same place in memory, or with none when there are none. */
typedef int decoded_fn(void *data, const char *base, size_t len, struct errctx *err);

/* ERR_PARSE on corruption (wrong CRC, bad block), else what the callback returned. */
int decoder_feed(struct decoder *d, const char *base, size_t len, decoded_fn *fn, void *data,
                 struct errctx *err) MUST_CHECK;

size_t decoder_unused(const struct decoder *d);   /* input not looked at, after ERR_AGAIN */
bool decoder_has_output(const struct decoder *d); /* a call without input may yield more */

/* ERR_PARSE when the stream is cut short. */
int decoder_finish(struct decoder *d, struct errctx *err) MUST_CHECK;

#endif
