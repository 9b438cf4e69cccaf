#include "base/utf8.h"

#include <stdint.h>

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_sequence_len(const char *p, size_t len)
{
    const unsigned char *s = (const unsigned char *)p;
    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xe0) {
        return s[0] >= 0xc2 && len >= 2 && is_tail(s[1]) ? 2 : 0;
    }
    if (s[0] < 0xf0) {
        if (len < 3 || !is_tail(s[1]) || !is_tail(s[2])) {
            return 0;
        }
        return (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ? 0 : 3;
    }
    if (s[0] > 0xf4 || len < 4 || !is_tail(s[1]) || !is_tail(s[2]) || !is_tail(s[3])) {
        return 0;
    }
    return (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90) ? 0 : 4;
}

bool utf8_is_valid(struct view v)
{
    size_t i = 0;
    while (i < v.len) {
        uint64_t word;
        if (v.len - i >= 8 && (memcpy(&word, v.base + i, 8), (word & UINT64_C(0x8080808080808080)) == 0)) {
            i += 8;
            continue;
        }
        size_t step = utf8_sequence_len(v.base + i, v.len - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}
