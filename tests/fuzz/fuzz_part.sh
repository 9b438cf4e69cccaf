exec "$top_builddir/tests/fuzz/fuzz_part" "$top_srcdir/tests/fuzz/seeds/part"
