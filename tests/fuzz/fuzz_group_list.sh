exec "$top_builddir/tests/fuzz/fuzz_group_list" "$top_srcdir/tests/fuzz/seeds/group_list"
