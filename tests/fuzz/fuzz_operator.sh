exec "$top_builddir/tests/fuzz/fuzz_operator" "$top_srcdir/tests/fuzz/seeds/operator"
