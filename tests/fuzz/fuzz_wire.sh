exec "$top_builddir/tests/fuzz/fuzz_wire" "$top_srcdir/tests/fuzz/seeds/wire"
