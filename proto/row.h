/* Flags of a row of the log (stored_row.flags, append_row.flags, place_row.flags in store.def). */
#ifndef CAIRN_ROW_H
#define CAIRN_ROW_H

enum {
    ROW_COUNTS = 1u, /* the roster lets it count */
    ROW_OPAQUE = 2u, /* elements 0-7 are not understood: it has no stream */
    ROW_ERASED = 4u, /* body is head, u32 BE length and hash of the tail */
    ROW_CHANGED =
        8u, /* not an event: the verdict on the row at offset `parent` is now these flags */
    ROW_DAMAGED =
        16u, /* never stored, only delivered: the bytes here do not match, body is empty */
    ROW_HIDDEN =
        32u /* an erasure that counts names it: not to be shown; its tail may still be here.
                        Erased and not hidden: the tail is missing, and wanted */
};

#endif
