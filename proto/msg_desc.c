/* The descriptor tables: all.def included three more times. */
#include "proto/msg.h"

/* 1. the rows of fields */
#define REQUEST(name, id, reply, doc) static const msg_field name##_fields[] = {
#define REPLY(name, id, doc)          static const msg_field name##_fields[] = {
#define NOTE(name, id, doc)           static const msg_field name##_fields[] = {
#define ROW(name, doc)                static const msg_field name##_fields[] = {
#define FIELD(msg, name, doc, type, min, max, row)                                                 \
    {#name, doc, type, offsetof(msg, name), sizeof(((msg *)0)->name), min, max, row},
#define U64(msg, name, min, max, doc)  FIELD(msg, name, doc, MSG_UINT, min, max, NULL)
#define U32(msg, name, min, max, doc)  FIELD(msg, name, doc, MSG_UINT, min, max, NULL)
#define U16(msg, name, min, max, doc)  FIELD(msg, name, doc, MSG_UINT, min, max, NULL)
#define U8(msg, name, min, max, doc)   FIELD(msg, name, doc, MSG_UINT, min, max, NULL)
#define I64(msg, name, doc)            FIELD(msg, name, doc, MSG_INT, 0, 0, NULL)
#define BOOL(msg, name, doc)           FIELD(msg, name, doc, MSG_BOOL, 0, 1, NULL)
#define STR(msg, name, max, doc)       FIELD(msg, name, doc, MSG_STR, 0, max, NULL)
#define BIN(msg, name, max, doc)       FIELD(msg, name, doc, MSG_BIN, 0, max, NULL)
#define ANY(msg, name, max, doc)       FIELD(msg, name, doc, MSG_ANY, 0, max, NULL)
#define FIX(msg, name, type, doc)      FIELD(msg, name, doc, MSG_FIX, sizeof(type), sizeof(type), NULL)
#define LIST(msg, name, row, max, doc) FIELD(msg, name, doc, MSG_LIST, 0, max, &row##_desc)
#define END(name)                                                                                  \
    {                                                                                              \
        NULL, NULL, MSG_UINT, 0, 0, 0, 0, NULL                                                     \
    }                                                                                              \
    }                                                                                              \
    ;
#include "proto/all.def"
#include "proto/undef.h"

/* 2. the descriptors */
#define FIELDS_OF(name) name##_fields, sizeof name##_fields / sizeof name##_fields[0] - 1
#define REQUEST(name, id, reply, doc)                                                              \
    const msg_desc name##_desc = {#name,         doc,          MSG_REQUEST,    id,                 \
                                  &reply##_desc, sizeof(name), FIELDS_OF(name)};
#define REPLY(name, id, doc)                                                                       \
    const msg_desc name##_desc = {#name, doc, MSG_REPLY, id, NULL, sizeof(name), FIELDS_OF(name)};
#define NOTE(name, id, doc)                                                                        \
    const msg_desc name##_desc = {#name, doc, MSG_NOTE, id, NULL, sizeof(name), FIELDS_OF(name)};
#define ROW(name, doc)                                                                             \
    const msg_desc name##_desc = {#name, doc, MSG_ROW, 0, NULL, sizeof(name), FIELDS_OF(name)};
#define U64(...)
#define U32(...)
#define U16(...)
#define U8(...)
#define I64(...)
#define BOOL(...)
#define STR(...)
#define BIN(...)
#define ANY(...)
#define FIX(...)
#define LIST(...)
#define END(name)
#include "proto/all.def"
#include "proto/undef.h"

/* 3. the index of messages */
#define REQUEST(name, id, reply, doc) &name##_desc,
#define REPLY(name, id, doc)          &name##_desc,
#define NOTE(name, id, doc)           &name##_desc,
#define ROW(name, doc)
#define U64(...)
#define U32(...)
#define U16(...)
#define U8(...)
#define I64(...)
#define BOOL(...)
#define STR(...)
#define BIN(...)
#define ANY(...)
#define FIX(...)
#define LIST(...)
#define END(name)
const msg_desc *const msg_all[] = {
#include "proto/all.def"
};
#include "proto/undef.h"

const size_t msg_all_count = sizeof msg_all / sizeof msg_all[0];

const msg_desc *msg_by_id(uint16_t id)
{
    for (size_t i = 0; i < msg_all_count; i++)
        if (msg_all[i]->id == id)
            return msg_all[i];
    return NULL;
}
