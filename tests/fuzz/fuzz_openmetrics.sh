exec "$top_builddir/tests/fuzz/fuzz_openmetrics" "$top_srcdir/tests/fuzz/seeds/openmetrics"
