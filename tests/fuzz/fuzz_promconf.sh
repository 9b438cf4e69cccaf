exec "$top_builddir/tests/fuzz/fuzz_promconf" "$top_srcdir/tests/fuzz/seeds/promconf"
