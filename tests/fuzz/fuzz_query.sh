exec "$top_builddir/tests/fuzz/fuzz_query" "$top_srcdir/tests/fuzz/seeds/query"
