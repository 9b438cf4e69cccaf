/* Scrape records from one worker to the control thread: a single-producer single-consumer ring. When it is full,
 * records wait on the worker's side, the newest per target; what even that cannot hold is dropped and counted. */
#ifndef KVASS_PROXY_RECORDS_H
#define KVASS_PROXY_RECORDS_H

#include "model/scrape_record.h"

#define RECORD_RING_SIZE   1024u
#define RECORD_WAITING_MAX 65536u

struct record_ring;

struct record_ring *record_ring_new(void);
void record_ring_free(struct record_ring **ring);

/* Producer. True when the consumer should be woken. */
bool record_ring_push(struct record_ring *ring, const struct scrape_record *r);
bool record_ring_flush(struct record_ring *ring); /* moves what waits, as far as there is room */

/* Consumer. */
bool record_ring_pop(struct record_ring *ring, struct scrape_record *ret);

#endif
