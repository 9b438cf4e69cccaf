exec "$top_builddir/tests/fuzz/fuzz_sd_http" "$top_srcdir/tests/fuzz/seeds/sd_http"
