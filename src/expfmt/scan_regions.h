/* The regions that strict scanning knows: comments, the insides of strings, what is between braces, values. Part of
 * scan_kernel.h, in two ways: where a register holds the masks of eight steps (AVX-512) all of them are worked on at
 * once, else one step follows the other. What has to go on from step to step is the same. */
struct strict_state {
    uint64_t first_escaped, in_string, in_braces; /* of bit 0; the last two all ones or zero */
    uint64_t in_comment;                          /* of bit 0 */
    uint64_t in_value, in_fraction;               /* of the byte before bit 0, as bit 0 */
};

#if defined(SCAN_COMPRESS)
/* Lane 0 gets `first`, every other one what the lane before it has, as bit 0. */
SCAN_FN lanes from_before(lanes v, unsigned bit, uint64_t first)
{
    lanes moved = __builtin_shufflevector(v, v, 0, 0, 1, 2, 3, 4, 5, 6) >> bit & 1;
    moved[0] = first;
    return moved;
}

/* Comments, from '#' to before the line feed. They go on for any number of steps, so one step after the other. */
SCAN_FN void comment_regions(struct strict_state *st, struct masks_strict *m)
{
    lanes starts = LANE(m->lf) << 1 & LANE(m->hash);
    LANE(m->comment) = starts;
    if (st->in_comment == 0 && lanes_empty(m->comment)) {
        return;
    }
    for (int i = 0; i < LANES; i++) {
        uint64_t lf = m->lf[i], comment = m->comment[i] + (st->in_comment & ~lf);
        m->comment[i] = comment = ~lf & ~(~lf + comment);
        st->in_comment = comment >> 63;
    }
}

/* Quotes that count. */
SCAN_FN void quote_marks(struct strict_state *st, struct masks_strict *m)
{
    LANE(m->quote) &= ~LANE(m->comment);
    LANE(m->backslash) &= ~LANE(m->comment);
    if (st->first_escaped == 0 && lanes_empty(m->backslash)) {
        return;
    }
    for (int i = 0; i < LANES; i++) {
        if ((m->backslash[i] | st->first_escaped) != 0) {
            m->quote[i] &= ~escaped_bytes(m->backslash[i], &st->first_escaped);
        }
    }
}

/* The regions of eight steps. Values and the digits behind a point in them pass on to the next step only what that step
 * alone makes: one that goes on longer fills a step, which is bad by itself. */
SCAN_FN void strict_regions(struct strict_state *st, struct masks_strict *m)
{
    comment_regions(st, m);
    quote_marks(st, m);
    lanes lf = LANE(m->lf), no_lf = ~lf, quote = LANE(m->quote), comment = LANE(m->comment), digit = LANE(m->digit);
    lanes string = between_marks(quote, &st->in_string); /* from the opening quote to before the closing one */
    lanes outside = ~(string | quote | comment);
    lanes braces = between_marks((LANE(m->brace_open) | LANE(m->brace_close)) & outside, &st->in_braces);
    lanes space = LANE(m->space) & outside;
    lanes value = (no_lf & ~(no_lf + space)) | space;
    value = (no_lf & ~(no_lf + space + (from_before(value, 62, st->in_value) & no_lf))) | space;
    lanes dot = LANE(m->dot) & value,
          begins = (dot << 1 & digit) + digit; /* a carry runs through digits behind a dot */
    lanes fraction = (digit & ~begins) | dot;
    fraction = digit & ~(begins + (from_before(fraction, 62, st->in_fraction) & digit));
    LANE(m->ends) = lf & ~(comment << 1);
    LANE(m->string) = string;
    LANE(m->braces) = braces;
    LANE(m->value) = value;
    LANE(m->fraction_bad) = (fraction << 1) & dot;
    st->in_value = value[LANES - 1] >> 62 & 1;
    st->in_fraction = (fraction | dot)[LANES - 1] >> 62 & 1;
}

SCAN_FN void batch_look(struct strict_state *st, struct masks_strict *m, const char *p)
{
    batch_masks(m, p);
    strict_regions(st, m);
}

#else
/* The regions of step i: comments, inside strings, between braces, in a value. They depend on the step before. */
SCAN_FN void step_regions(struct strict_state *st, struct masks_strict *m, int i)
{
    uint64_t escaped = 0, lf = m->lf[i], digit = m->digit[i];
    uint64_t comment = (lf << 1 & m->hash[i]) + (st->in_comment & ~lf);
    if (comment != 0) {
        comment = ~lf & ~(~lf + comment);
    }
    uint64_t backslash = m->backslash[i] & ~comment;
    if ((backslash | st->first_escaped) != 0) {
        escaped = escaped_bytes(backslash, &st->first_escaped);
    }
    uint64_t quote = m->quote[i] & ~(escaped | comment);
    uint64_t string = prefix_xor(quote) ^ st->in_string; /* from the opening quote to before the closing one */
    uint64_t outside = ~(string | quote | comment);
    uint64_t braces =
        prefix_xor((m->brace_open[i] | m->brace_close[i]) & outside) ^ st->in_braces; /* from { to before } */
    uint64_t space = m->space[i] & outside;
    uint64_t value = (~lf & ~(~lf + space + (st->in_value & ~lf))) | space;
    uint64_t dot = m->dot[i] & value;
    uint64_t sum =
        (dot << 1 & digit) + digit + (st->in_fraction & digit); /* a carry runs through the digits behind a dot */
    uint64_t fraction = digit & ~sum;
    m->comment[i] = comment;
    m->ends[i] = lf & ~(comment << 1);
    m->quote[i] = quote;
    m->string[i] = string;
    m->braces[i] = braces;
    m->value[i] = value;
    m->fraction_bad[i] = (fraction << 1) & dot;
    st->in_string = (uint64_t)((int64_t)(string << 1) >> 63);
    st->in_braces = (uint64_t)((int64_t)(braces << 1) >> 63);
    st->in_comment = comment >> 63;
    st->in_value = value >> 62 & 1;
    st->in_fraction = (fraction | dot) >> 62 & 1;
}

SCAN_FN void batch_look(struct strict_state *st, struct masks_strict *m, const char *p)
{
    for (int i = 0; i < LANES; i++) {
        block_strict(m, i, p + (size_t)i * STEP);
        step_regions(st, m, i);
    }
}
#endif
