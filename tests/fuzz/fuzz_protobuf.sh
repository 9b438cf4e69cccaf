exec "$top_builddir/tests/fuzz/fuzz_protobuf" "$top_srcdir/tests/fuzz/seeds/protobuf"
