exec "$top_builddir/tests/fuzz/fuzz_web_config" "$top_srcdir/tests/fuzz/seeds/web_config"
