exec "$top_builddir/tests/fuzz/fuzz_http_shards" "$top_srcdir/tests/fuzz/seeds/http_shards"
