exec "$top_builddir/tests/fuzz/fuzz_state" "$top_srcdir/tests/fuzz/seeds/state"
