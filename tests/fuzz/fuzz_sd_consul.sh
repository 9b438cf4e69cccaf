exec "$top_builddir/tests/fuzz/fuzz_sd_consul" "$top_srcdir/tests/fuzz/seeds/sd_consul"
