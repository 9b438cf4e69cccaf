exec "$top_builddir/tests/fuzz/fuzz_route" "$top_srcdir/tests/fuzz/seeds/route"
