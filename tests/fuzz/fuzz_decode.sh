exec "$top_builddir/tests/fuzz/fuzz_decode" "$top_srcdir/tests/fuzz/seeds/decode"
