/* The form of the state file, known to its writer and its reader alone; described in state.h. */
#ifndef KVASS_SHARD_STATE_FORMAT_H
#define KVASS_SHARD_STATE_FORMAT_H

#define STATE_MAGIC          "KVASS1\0\0"
#define STATE_MAGIC_BYTES    8
#define STATE_HEADER_BYTES   24
#define STATE_VERSION        1
#define STATE_LINE_BYTES_MAX ((size_t)4 << 20)
#define STATE_PIECE_BYTES    ((size_t)512 << 10) /* of the configuration; a byte takes at most six in JSON */

#endif
