exec "$top_builddir/tests/fuzz/fuzz_relabel" "$top_srcdir/tests/fuzz/seeds/relabel"
