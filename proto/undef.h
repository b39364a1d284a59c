/* Forgets the row macros, so that the .def files can be included again with another meaning. No include guard: it
 * is meant to be included after every use of all.def. */
#undef REQUEST
#undef REPLY
#undef NOTE
#undef ROW
#undef U64
#undef U32
#undef U16
#undef U8
#undef I64
#undef BOOL
#undef STR
#undef BIN
#undef ANY
#undef FIX
#undef LIST
#undef END
