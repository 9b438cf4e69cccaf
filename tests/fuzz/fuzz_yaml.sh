exec "$top_builddir/tests/fuzz/fuzz_yaml" "$top_srcdir/tests/fuzz/seeds/yaml"
