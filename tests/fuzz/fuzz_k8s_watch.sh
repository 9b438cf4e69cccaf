exec "$top_builddir/tests/fuzz/fuzz_k8s_watch" "$top_srcdir/tests/fuzz/seeds/k8s_watch"
