/* The scanner's arithmetic, on masks of 64 bits: bit i stands for byte i of a step. Included once per instruction
 * set by files that define SCAN_FN (how functions are declared), block_count(), and batch_masks() or
 * block_strict() (bytes to masks).
 *
 * How it works. Positions of quotes give, by a prefix xor, which bytes are inside label values; positions of
 * braces in the same way which are between them; adding the space behind a name to the mask of bytes that are no
 * line feed carries a one through the run up to the line's end, which gives the value. With the regions known,
 * every rule of the grammar is a statement on a byte and the one before it ("behind '=' comes a quote"), or on
 * where a run of digits ends, and a violation is a bit in `bad`. Lines that end before the first bad bit are good;
 * the line with the bad bit goes the careful way, whether it is wrong or merely unusual. Arithmetic runs from low
 * bits to high, so nothing before a bad bit is affected by it.
 *
 * A step covers 64 bytes but moves on by 63: bit 0 is the last byte of the step before, so that "the byte before"
 * needs no carry; it was judged already and is masked out of `bad`. */
#include "expfmt/scan_masks.h"

#define EVEN_BITS UINT64_C(0x5555555555555555)

SCAN_FN uint64_t prefix_xor(uint64_t x)
{
#if defined(SCAN_COUNT_ONLY)
    for (int shift = 1; shift < 64; shift *= 2) {
        x ^= x << shift;
    }
    return x;
#else
    return (uint64_t)_mm_cvtsi128_si64(
        _mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)x), _mm_set1_epi8((char)0xff), 0));
#endif
}

/* Bytes behind an odd number of backslashes. *first: whether byte 0 is one; on return, whether byte 63 is. */
SCAN_FN uint64_t escaped_bytes(uint64_t backslash, uint64_t *first)
{
    backslash &= ~*first;
    uint64_t follows = backslash << 1 | *first;
    uint64_t odd_starts = backslash & ~EVEN_BITS & ~follows;
    uint64_t even_run_ends = odd_starts + backslash;
    uint64_t escaped = (EVEN_BITS ^ (even_run_ends << 1)) & follows;
    *first = escaped >> 63;
    return escaped;
}

SCAN_FN size_t line_begin(uint64_t lf_before, size_t at, size_t begin)
{
    return lf_before != 0 ? at + 64 - (size_t)__builtin_clzll(lf_before) : begin;
}

SCAN_FN void note_starts(struct scan *s, uint64_t bits, size_t at)
{
    while (bits != 0) {
        s->starts[s->start_count++] = (uint32_t)(at + (size_t)__builtin_ctzll(bits));
        bits &= bits - 1;
    }
}

/* Starts of lines that are not whole are forgotten again. */
SCAN_FN void scan_end(struct scan *s, size_t taken)
{
    s->taken = taken;
    while (s->start_count > 0 && s->starts[s->start_count - 1] >= taken) {
        s->start_count--;
    }
}

SCAN_FN void scan_begin(struct scan *s)
{
    s->taken = 0;
    s->samples = 0;
    s->start_count = 0;
}

struct count_state {
    uint64_t first_escaped, in_string, in_comment; /* of bit 0; in_string is all ones or zero */
};

struct count_masks {
    uint64_t bad, samples, starts; /* samples: line feeds that end a sample line */
};

/* One step of counting, of the 64 bytes at block. Only where a line begins like no sample, or a comment is under way,
 * the other kinds of lines are told apart. */
SCAN_FN struct count_masks count_step(struct count_state *st, const struct masks_count *m, bool quoted_comments,
                                      const char *block)
{
    uint64_t begins = m->lf << 1, no_lf = ~m->lf, comment = 0, escaped = 0;
    struct count_masks ret = {.starts = begins & no_lf};
    if (((begins & m->small) | st->in_comment) != 0) {
        struct masks_rare rare = block_rare(block);
        comment = no_lf & ~(no_lf + (begins & rare.hash) + (st->in_comment & no_lf & 1));
        ret.bad = (begins & rare.low & no_lf) | (comment & rare.nul);
        ret.bad |= quoted_comments ? comment & m->quote & (rare.low << 1) : 0;
        ret.starts &= ~rare.hash;
    }
    if (((m->backslash & ~comment) | st->first_escaped) != 0) {
        escaped = escaped_bytes(m->backslash & ~comment, &st->first_escaped);
    }
    uint64_t string = prefix_xor(m->quote & ~comment & ~escaped) ^ st->in_string;
    ret.bad = (ret.bad | (string & m->lf)) & ~UINT64_C(1);
    ret.samples = m->lf & ~begins & ~(comment << 1);
    st->in_string = (uint64_t)((int64_t)(string << 1) >> 63);
    st->in_comment = comment >> 63;
    return ret;
}

/* The line feed at bit 0 may end a comment of the step before: it is no sample's and was counted then. */
SCAN_FN void scan_count(struct scan *s, const char *base, size_t len)
{
    struct count_state st = {0};
    size_t at = 0, begin = 0; /* base[at - 1] is bit 0 */
    scan_begin(s);
    while (len - at >= STEP && s->start_count + SCAN_STARTS_STEP <= SCAN_STARTS_MAX) {
        const char *block = base + at - 1;
        struct masks_count m = block_count(block);
        struct count_masks step = count_step(&st, &m, s->major >= PROMETHEUS_2_53, block);
        uint64_t bad = step.bad, good = bad != 0 ? (bad & -bad) - 1 : ~UINT64_C(0);
        s->samples += (uint64_t)__builtin_popcountll(step.samples & good & ~UINT64_C(1));
        if (s->wants_starts) {
            note_starts(s, step.starts & good, at - 1);
        }
        begin = line_begin(m.lf & good, at - 1, begin);
        at += STEP;
        if (bad != 0 || at + STEP - begin > s->line_bytes_max) {
            break;
        }
    }
    scan_end(s, begin);
}

#if !defined(SCAN_COUNT_ONLY)
#include "expfmt/scan_regions.h"

/* Behind a name (or braces) one space; then digits with at most one point between them. What has anything else or a
 * second space goes to the number check, as `complex`. */
SCAN_FN void value_rules(struct masks_strict *m)
{
    const lanes not_first = ~(lanes){1, 1, 1, 1, 1, 1, 1, 1};
    lanes value = LANE(m->value), digit = LANE(m->digit), space = LANE(m->space) & value, dot = LANE(m->dot) & value;
    lanes other = value & ~(digit | dot | space);
    lanes bad = (space << 1) & ~(digit | other);
    bad |= (dot & ~(digit << 1)) | ((dot << 1) & ~digit);
    bad |= LANE(m->ends) & ~((value & (digit | other)) << 1);
    bad |= (lanes)(value == ~(lanes){0}); /* endless numbers */
    LANE(m->complex) = other | (space & (value << 1));
    LANE(m->value_starts) = space & ~(value << 1) & not_first;
    LANE(m->value_bad) = bad | LANE(m->fraction_bad);
}

/* All rules that look at a byte and the one before it. */
SCAN_FN void strict_rules(struct masks_strict *m)
{
    lanes string = LANE(m->string), quote = LANE(m->quote), braces = LANE(m->braces), value = LANE(m->value),
          lf = LANE(m->lf), comment = LANE(m->comment);
    lanes outside = ~(string | quote | comment), text = outside & ~value & ~lf;
    lanes opening = quote & string, closing = quote & ~string;
    lanes open = LANE(m->brace_open) & outside, close = LANE(m->brace_close) & outside;
    lanes equal = LANE(m->equal) & text, comma = LANE(m->comma) & text;
    lanes letter = LANE(m->letter), label = LANE(m->label), metric = LANE(m->metric);
    lanes starts = (open | comma) << 1;
    lanes bad = LANE(m->odd) | (string & lf) | (braces & (lf | value));
    bad |= text & ~braces & ~(metric | close);
    bad |= text & braces & ~(label | open | equal | comma);
    bad |= ((lf << 1) | starts) & ~(letter | comment);
    bad |= ((label & text & braces) << 1) & ~(label | equal);
    bad |= (equal << 1) ^ opening;
    bad |= (closing << 1) ^ (comma | close);
    bad |= (close << 1) & ~LANE(m->space);
    bad |= ((metric & text & ~braces) << 1) & ~(metric | open | LANE(m->space));
    value_rules(m);
    bad |= LANE(m->value_bad);
    bad &= ~(lanes){1, 1, 1, 1, 1, 1, 1, 1};
    LANE(m->bad) = bad;
    LANE(m->trouble) = bad | LANE(m->complex);
    LANE(m->label_starts) = starts;
    LANE(m->label_ends) = equal;
    LANE(m->label_names) = (label & text & braces) | equal;
}

/* A hash of a label's name that equal names share. */
SCAN_FN uint32_t label_slot(const char *name, const char *behind)
{
    size_t len = (size_t)(behind - name);
    uint64_t last, first = 0;
    memcpy(&last, behind - 8, 8);
    if (len < 8) {
        last >>= 8 * (8 - len);
    } else {
        memcpy(&first, name, 8);
    }
    uint64_t h = (last ^ (first * UINT64_C(0x9e3779b97f4a7c15)) ^ len) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(h >> 52);
}

#define NAMES_BYTES 4096
#define NAMES_BEGIN 8 /* label_slot reads up to eight bytes before a name's end */

/* What goes on from step to step besides the masks: a label's name without its '=', a value without its line's end. */
struct strict_open {
    const char *base; /* nothing before it may be read */
    const char *end;  /* nor from here on */
    const char *comment;
    const char *label;
    const char *value; /* the space before it */
    bool complex;      /* that value needs the number check */
    uint16_t line_id;  /* of the scan, kept here where no store can touch it */
    uint64_t samples;
#if defined(SCAN_COMPRESS)
    size_t names_before, names_len; /* of the line before */
    size_t names_line, names_end;   /* of the current one */
    char *names;                    /* NAMES_BYTES and 64 more */
#endif
};

#if defined(SCAN_COMPRESS)
/* With a compress instruction the label names of a line, each with its '=', are gathered into one string. Lines of
 * a family have the same names in the same order, so that string mostly equals the one of the line before, which
 * was checked already. */
SCAN_FN bool names_are_unique(struct scan *s, struct strict_open *open, const char *names, size_t len)
{
    const char *end = names + len;
    open->line_id++;
    for (const char *p = names; p < end; p++) {
        if (*p == '=') {
            uint16_t *slot = &s->label_slots[label_slot(names, p)];
            if (*slot == open->line_id) {
                return false;
            }
            *slot = open->line_id;
            names = p + 1;
        }
    }
    return true;
}

/* Room for eight steps more. False when one line's names take too much of it. */
SCAN_FN bool names_make_room(struct strict_open *open)
{
    if (open->names_end + LANES * 64 <= NAMES_BYTES) {
        return true;
    }
    size_t line = open->names_end - open->names_line;
    if (line + open->names_len + LANES * 64 > NAMES_BYTES / 2) {
        return false;
    }
    memmove(open->names + NAMES_BEGIN, open->names + open->names_before, open->names_len);
    open->names_before = NAMES_BEGIN;
    memmove(open->names + NAMES_BEGIN + open->names_len, open->names + open->names_line, line);
    open->names_line = NAMES_BEGIN + open->names_len;
    open->names_end = open->names_line + line;
    return true;
}

/* Gathers the names of a step. The loads of the check should come well after these stores, so it is a step of its
 * own. */
SCAN_FN size_t labels_gather(struct strict_open *open, const struct masks_strict *m, int i, uint64_t good,
                             const char *block)
{
    uint64_t names = m->label_names[i] & good, lf = m->ends[i] & good;
    size_t begin = open->names_end;
    pack_bytes(open->names + begin, block, names | lf);
    open->names_end = begin + (size_t)__builtin_popcountll(names | lf);
    return begin;
}

/* Looks for label names that occur twice in lines that end in a step, whose names were gathered from `begin` on.
 * Returns the bit of the first such line's end, or 0. */
SCAN_FN uint64_t labels_check(struct scan *s, struct strict_open *open, const struct masks_strict *m, int i,
                              uint64_t good, const char *block, size_t begin)
{
    uint64_t names = m->label_names[i] & good, lf = m->ends[i] & good;
    (void)block;
    const char *all = open->names;
    size_t line = open->names_line;
    for (uint64_t left = lf; left != 0; left &= left - 1) {
        uint64_t bit = left & -left;
        size_t stop = begin + (size_t)__builtin_popcountll((names | lf) & (bit - 1)), len = stop - line;
        if (len != open->names_len || !bytes_equal(all + line, all + open->names_before, len)) {
            if (!names_are_unique(s, open, all + line, len)) {
                return bit;
            }
            open->names_before = line;
            open->names_len = len;
        }
        line = stop + 1;
    }
    open->names_line = line;
    return 0;
}

#else
SCAN_FN size_t labels_gather(struct strict_open *open, const struct masks_strict *m, int i, uint64_t good,
                             const char *block)
{
    (void)open;
    (void)m;
    (void)i;
    (void)good;
    (void)block;
    return 0;
}

/* Looks for label names that occur twice in a line, in bytes before the first bad bit. Returns the bit of a
 * suspect, or 0. */
SCAN_FN uint64_t labels_check(struct scan *s, struct strict_open *open, const struct masks_strict *m, int i,
                              uint64_t good, const char *block, size_t begin)
{
    uint64_t starts = m->label_starts[i] & good, ends = m->label_ends[i] & good;
    (void)begin;
    while (ends != 0) {
        uint64_t bit = ends & -ends;
        const char *behind = block + __builtin_ctzll(ends);
        if ((starts & (bit - 1)) != 0) {
            open->label = block + __builtin_ctzll(starts);
            starts &= starts - 1;
        }
        open->line_id = (uint16_t)(open->line_id + (open->label[-1] == '{'));
        uint16_t *slot = behind - open->base >= 8 ? &s->label_slots[label_slot(open->label, behind)] : NULL;
        if (slot == NULL || *slot == open->line_id) {
            return bit;
        }
        *slot = open->line_id;
        ends &= ends - 1;
    }
    if (starts != 0) {
        open->label = block + __builtin_ctzll(starts);
    }
    return 0;
}
#endif

/* Checks the values that hold more than digits and a point, of lines that end in this step. Returns the bit of the
 * first line end whose value is not taken, or 0. */
SCAN_FN uint64_t values_check(struct strict_open *open, uint64_t spaces, uint64_t complex, uint64_t lf,
                              const char *block)
{
    if ((complex | open->complex) == 0) {
        lf = 0; /* plain numbers only */
        spaces = spaces != 0 ? UINT64_C(1) << (63 - __builtin_clzll(spaces)) : 0;
    }
    while (lf != 0) {
        uint64_t bit = lf & -lf, before = bit - 1;
        if ((spaces & before) != 0) {
            open->value = block + __builtin_ctzll(spaces);
        }
        open->complex = open->complex || (complex & before) != 0;
        if (open->complex && !scan_value_is_good(open->value + 1, block + __builtin_ctzll(bit))) {
            return bit;
        }
        open->complex = false;
        spaces &= ~before;
        complex &= ~before;
        lf &= lf - 1;
    }
    open->complex = open->complex || complex != 0;
    if (spaces != 0) {
        open->value = block + __builtin_ctzll(spaces);
    }
    return 0;
}

/* "# HELP name text" and "# TYPE name type" as exporters write them, with a type that Prometheus knows. */
SCAN_FN bool comment_is_good(struct scan *s, const char *begin, const char *lf, const char *end)
{
    const char *name = begin + 7;
    if (end - name < 64) {
        return false;
    }
    uint64_t other = ~metric_bytes(name);
    const char *text = name + (other != 0 ? __builtin_ctzll(other) + 1 : 0);
    bool named = text > name + 1 && text[-1] == ' ' && text <= lf && !(*name >= '0' && *name <= '9');
    if (!named || memcmp(begin, "# HELP ", 7) == 0) {
        return named;
    }
    return memcmp(begin, "# TYPE ", 7) == 0 && sample_type_parse(view_make(text, (size_t)(lf - text)), &s->type);
}

/* Checks the comments that end in this step. Returns the bit of the end of the first one not taken, or 0. */
SCAN_FN uint64_t comments_check(struct scan *s, struct strict_open *open, const struct masks_strict *m, int i,
                                uint64_t good, const char *block)
{
    if (m->comment[i] == 0) {
        return 0;
    }
    uint64_t starts = m->comment[i] & (m->lf[i] << 1) & good, ends = m->lf[i] & (m->comment[i] << 1) & good;
    for (; ends != 0; ends &= ends - 1) {
        uint64_t bit = ends & -ends;
        if ((starts & (bit - 1)) != 0) {
            open->comment = block + __builtin_ctzll(starts);
            starts &= starts - 1;
        }
        if (!comment_is_good(s, open->comment, block + __builtin_ctzll(bit), open->end)) {
            return bit;
        }
    }
    if (starts != 0) {
        open->comment = block + __builtin_ctzll(starts);
    }
    return 0;
}

/* Accounts for one step. False when it holds a line the scanner does not take. */
SCAN_FN bool strict_account(struct scan *s, struct strict_open *open, const struct masks_strict *m, int i, size_t at,
                            size_t *begin)
{
    const uint64_t not_first = ~UINT64_C(1);
    const char *block = open->base + at - 1;
    uint64_t bad = m->bad[i], good = bad != 0 ? (bad & -bad) - 1 : ~UINT64_C(0);
    size_t gathered = labels_gather(open, m, i, good & not_first, block);
    uint64_t suspect = labels_check(s, open, m, i, good & not_first, block, gathered);
    bad |= suspect;
    good = suspect != 0 ? suspect - 1 : good;
    suspect = values_check(open, m->value_starts[i] & good & not_first, m->complex[i] & good & not_first,
                           m->ends[i] & good & not_first, block);
    bad |= suspect;
    good = suspect != 0 ? suspect - 1 : good;
    suspect = comments_check(s, open, m, i, good, block);
    bad |= suspect;
    good = suspect != 0 ? suspect - 1 : good;
    open->samples += (uint64_t)__builtin_popcountll(m->ends[i] & good & not_first);
    if (s->wants_starts) {
        note_starts(s, (m->lf[i] << 1) & ~m->comment[i] & good, at - 1);
    }
    *begin = line_begin(m->lf[i] & good, at - 1, *begin);
    return bad == 0;
}

/* Eight steps without a bad bit, and with plain numbers only. False when a label name may occur twice: nothing is
 * accounted for then but lines before, and *begin is theirs. */
SCAN_FN bool strict_account_all(struct scan *s, struct strict_open *open, const struct masks_strict *m, size_t at,
                                size_t *begin)
{
    const uint64_t not_first = ~UINT64_C(1);
    size_t gathered[LANES] SCAN_UNINITIALISED;
    for (int i = 0; i < LANES; i++) {
        gathered[i] = labels_gather(open, m, i, not_first, open->base + at + (size_t)i * STEP - 1);
    }
    for (int i = 0; i < LANES; i++, at += STEP) {
        const char *block = open->base + at - 1;
        uint64_t suspect = labels_check(s, open, m, i, not_first, block, gathered[i]);
        uint64_t good = suspect != 0 ? suspect - 1 : ~UINT64_C(0);
        uint64_t comment = comments_check(s, open, m, i, good, block);
        good = comment != 0 ? comment - 1 : good;
        open->samples += (uint64_t)__builtin_popcountll(m->ends[i] & good & not_first);
        if (s->wants_starts) {
            note_starts(s, (m->lf[i] << 1) & ~m->comment[i] & good, at - 1);
        }
        *begin = line_begin(m->lf[i] & good, at - 1, *begin);
        if (~good != 0) {
            return false;
        }
    }
    uint64_t spaces = m->value_starts[LANES - 1];
    if (spaces != 0) {
        open->value = open->base + at - STEP - 1 + 63 - __builtin_clzll(spaces);
    }
    return true;
}

SCAN_FN bool strict_batch(struct scan *s, struct strict_open *open, const struct masks_strict *m, int count, size_t *at,
                          size_t *begin)
{
    if (count == LANES && s->start_count + SCAN_STARTS_STEP <= SCAN_STARTS_MAX && !open->complex &&
        lanes_empty(m->trouble)) {
        *at += LANES * STEP;
        return strict_account_all(s, open, m, *at - LANES * STEP, begin);
    }
    bool more = true;
    for (int i = 0; i < count && more; i++, *at += STEP) {
        more = s->start_count + SCAN_STARTS_STEP <= SCAN_STARTS_MAX && strict_account(s, open, m, i, *at, begin);
    }
    return more;
}

/* Masks and regions of up to eight steps from base on; returns how many. Behind the last ones lies what is never looked
 * at. */
SCAN_FN int strict_look(struct strict_state *st, struct masks_strict *m, const char *base, size_t len)
{
    char last[LANES * STEP + 1] SCAN_UNINITIALISED;
    if (len >= (size_t)LANES * STEP) {
        batch_look(st, m, base - 1);
        return LANES;
    }
    int count = (int)(len / STEP);
    size_t bytes = (size_t)count * STEP + 1;
    memcpy(last, base - 1, bytes);
    memset(last + bytes, 0, sizeof(last) - bytes);
    batch_look(st, m, last);
    return count;
}

SCAN_FN void scan_strict(struct scan *s, const char *base, size_t len)
{
    struct strict_state st = {0};
    struct strict_open open;
    open.base = open.label = open.value = open.comment = base;
    open.end = base + len;
    open.complex = false;
    open.line_id = s->line_id;
    open.samples = 0;
#if defined(SCAN_COMPRESS)
    char names[NAMES_BYTES + 64] SCAN_UNINITIALISED;
    memset(names, 0, NAMES_BEGIN);
    open.names = names;
    open.names_before = open.names_line = open.names_end = NAMES_BEGIN;
    open.names_len = 0;
#endif
    struct masks_strict m SCAN_UNINITIALISED;
    size_t at = 0, begin = 0;
    bool more = true;
    scan_begin(s);
    while (more && len - at >= STEP) {
#if defined(SCAN_COMPRESS)
        if (!names_make_room(&open)) {
            break;
        }
#endif
        int count = strict_look(&st, &m, base + at, len - at);
        strict_rules(&m);
        more = strict_batch(s, &open, &m, count, &at, &begin) && at + (LANES + 1) * STEP - begin <= s->line_bytes_max;
    }
    s->line_id = open.line_id;
    s->samples = open.samples;
    scan_end(s, begin);
}
#endif
