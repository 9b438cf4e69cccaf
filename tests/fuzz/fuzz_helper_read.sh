exec "$top_builddir/tests/fuzz/fuzz_helper_read" "$top_srcdir/tests/fuzz/seeds/helper_read"
