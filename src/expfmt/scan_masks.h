/* What a step of the scanner knows of its 64 bytes: one mask a property, bit i for byte i. */
#ifndef KVASS_EXPFMT_SCAN_MASKS_H
#define KVASS_EXPFMT_SCAN_MASKS_H

#include "expfmt/scan.h"

#include <immintrin.h>
#include <string.h>

struct masks_count {
    uint64_t lf, quote, backslash, small; /* small: at most '#', as a sample's line never begins */
};

/* Looked at where lines begin that are no samples. */
struct masks_rare {
    uint64_t hash, low, nul; /* low: at most 0x20 */
};

/* The strict scanner takes eight steps at a time and computes most of its rules on all eight at once, a lane each. */
#define LANES 8
#define STEP  63
typedef uint64_t lanes __attribute__((vector_size(64), may_alias));

struct masks_strict {
    uint64_t lf[LANES], quote[LANES], backslash[LANES], odd[LANES]; /* odd: NUL, or above 0x7f */
    uint64_t brace_open[LANES], brace_close[LANES], equal[LANES], comma[LANES], space[LANES], hash[LANES];
    uint64_t letter[LANES], digit[LANES], label[LANES], metric[LANES]; /* label: letters, digits, _ ; metric: and : */
    uint64_t dot[LANES];
    /* worked out */
    uint64_t comment[LANES], ends[LANES]; /* from '#' to before the line feed; line feeds behind anything else */
    uint64_t string[LANES], braces[LANES], value[LANES], fraction_bad[LANES], value_bad[LANES];
    uint64_t bad[LANES], complex[LANES], trouble[LANES]; /* trouble: either */
    uint64_t value_starts[LANES], label_starts[LANES], label_ends[LANES], label_names[LANES];
} __attribute__((aligned(64)));

#define LANE(array) (*(lanes *)(void *)(array))

/* Kilobytes that are written before they are read: not to be zeroed at each call. */
#define SCAN_UNINITIALISED __attribute__((uninitialized))

/* Classes of bytes as bits, found by two table look-ups: a byte has the bits that its low and its high half share. */
#define CLASS_LETTER_1   1 /* a-o A-O */
#define CLASS_LETTER_2   2 /* p-z P-Z */
#define CLASS_DIGIT      4
#define CLASS_UNDERSCORE 8
#define CLASS_COLON      16
#define CLASS_DOT        32
#define CLASS_LETTERS    (CLASS_LETTER_1 | CLASS_LETTER_2)

#define CLASS_LOW_HALF                                                                                                 \
    CLASS_DIGIT | CLASS_LETTER_2, CLASS_DIGIT | CLASS_LETTERS, CLASS_DIGIT | CLASS_LETTERS,                            \
        CLASS_DIGIT | CLASS_LETTERS, CLASS_DIGIT | CLASS_LETTERS, CLASS_DIGIT | CLASS_LETTERS,                         \
        CLASS_DIGIT | CLASS_LETTERS, CLASS_DIGIT | CLASS_LETTERS, CLASS_DIGIT | CLASS_LETTERS,                         \
        CLASS_DIGIT | CLASS_LETTERS, CLASS_LETTERS | CLASS_COLON, CLASS_LETTER_1, CLASS_LETTER_1, CLASS_LETTER_1,      \
        CLASS_LETTER_1 | CLASS_DOT, CLASS_LETTER_1 | CLASS_UNDERSCORE
#define CLASS_HIGH_HALF                                                                                                \
    0, 0, CLASS_DOT, CLASS_DIGIT | CLASS_COLON, CLASS_LETTER_1, CLASS_LETTER_2 | CLASS_UNDERSCORE, CLASS_LETTER_1,     \
        CLASS_LETTER_2, 0, 0, 0, 0, 0, 0, 0, 0

#endif
