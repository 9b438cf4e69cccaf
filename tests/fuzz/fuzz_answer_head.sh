exec "$top_builddir/tests/fuzz/fuzz_answer_head" "$top_srcdir/tests/fuzz/seeds/answer_head"
