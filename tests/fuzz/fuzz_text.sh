exec "$top_builddir/tests/fuzz/fuzz_text" "$top_srcdir/tests/fuzz/seeds/text"
