/* The delimited protobuf format: a walker over metric families, in any split. */
#ifndef KVASS_EXPFMT_PROTOBUF_H
#define KVASS_EXPFMT_PROTOBUF_H

#include "expfmt/counter_impl.h"

void protobuf_start(struct counter *c);
int protobuf_feed(struct counter *c, const char *base, size_t len, struct errctx *err) MUST_CHECK;
int protobuf_finish(struct counter *c, struct errctx *err) MUST_CHECK;

#endif
