exec "$top_builddir/tests/fuzz/fuzz_sd_dns" "$top_srcdir/tests/fuzz/seeds/sd_dns"
