/* The one C++ file: libre2 as a handful of C calls.
 *
 * RE2 is the family Go's regexp comes from, so the same patterns mean the same thing and no input makes it slow. Errors
 * come back in Go's words, because users know them from Prometheus. Nothing may throw out of here and nothing may be
 * printed: log_errors is off. */
#include "relabel/re2_shim.h"

#include <re2/re2.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct re2_shim {
    re2::RE2 re;

    re2_shim(struct view pattern, const re2::RE2::Options &options)
        : re(re2::StringPiece(pattern.base, pattern.len), options)
    {
    }
};

static const char *words_of(re2::RE2::ErrorCode code)
{
    switch (code) {
    case re2::RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case re2::RE2::ErrorBadCharClass:
        return "invalid character class";
    case re2::RE2::ErrorBadCharRange:
        return "invalid character class range";
    case re2::RE2::ErrorMissingBracket:
        return "missing closing ]";
    case re2::RE2::ErrorMissingParen:
        return "missing closing )";
    case re2::RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case re2::RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case re2::RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case re2::RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case re2::RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case re2::RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case re2::RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case re2::RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    case re2::RE2::ErrorPatternTooLarge:
        return "expression too large";
    default:
        return "internal error";
    }
}

struct re2_shim *re2_shim_new(struct view pattern, size_t memory_max, const char **ret_words, char **ret_about)
{
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(static_cast<int64_t>(memory_max));
    re2_shim *shim = new re2_shim(pattern, options);
    if (!shim->re.ok()) {
        *ret_words = words_of(shim->re.error_code());
        *ret_about = strdup(shim->re.error_arg().c_str());
        delete shim;
        return nullptr;
    }
    return shim;
}

void re2_shim_free(struct re2_shim *re)
{
    delete re;
}

int re2_shim_group_count(const struct re2_shim *re)
{
    return re->re.NumberOfCapturingGroups();
}

bool re2_shim_match(const struct re2_shim *re, struct view text, size_t start, struct view *groups, int count)
{
    re2::StringPiece on_stack[16];
    std::vector<re2::StringPiece> on_heap;
    re2::StringPiece *pieces = on_stack;
    if (count > 16) {
        on_heap.resize(static_cast<size_t>(count));
        pieces = on_heap.data();
    }
    re2::StringPiece subject(text.base != nullptr ? text.base : "", text.len);
    if (!re->re.Match(subject, start, subject.size(), re2::RE2::UNANCHORED, pieces, count)) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        groups[i].base = pieces[i].data();
        groups[i].len = pieces[i].size();
    }
    return true;
}

bool re2_shim_is_word(struct view text)
{
    static const re2::RE2 word("[\\pL\\p{Nd}]"); /* constant; used while rules are compiled only */
    return re2::RE2::FullMatch(re2::StringPiece(text.base, text.len), word);
}
