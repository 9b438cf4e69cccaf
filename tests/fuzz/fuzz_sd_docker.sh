exec "$top_builddir/tests/fuzz/fuzz_sd_docker" "$top_srcdir/tests/fuzz/seeds/sd_docker"
