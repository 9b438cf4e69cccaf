exec "$top_builddir/tests/fuzz/fuzz_plan" "$top_srcdir/tests/fuzz/seeds/plan"
