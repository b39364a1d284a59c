#include "pure/radio_key.h"

#include "proto/mp.h"

err_t radio_key_write(uint8_t epoch, const radio_key_box *boxes, size_t n, buf *out)
{
    if (n == 0 || n > RADIO_KEY_BOXES_MAX)
        return ERR_OUT_OF_RANGE;
    mp_put_map(out, 2);
    mp_put_cstr(out, "boxes");
    mp_put_array(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        mp_put_array(out, 2);
        mp_put_bin(out, bytes_of(boxes[i].name, sizeof boxes[i].name));
        mp_put_bin(out, bytes_of(boxes[i].box, sizeof boxes[i].box));
    }
    mp_put_cstr(out, "epoch");
    mp_put_uint(out, epoch);
    return out->err;
}

static void read_boxes(mp_reader *r, radio_key_box *boxes, size_t *n)
{
    uint32_t count = mp_array(r);
    if (count > RADIO_KEY_BOXES_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    for (uint32_t i = 0; i < count && r->err == ERR_OK; i++) {
        if (mp_array(r) != 2)
            mp_fail(r, ERR_MALFORMED);
        mp_fixed(r, boxes[i].name, sizeof boxes[i].name);
        mp_fixed(r, boxes[i].box, sizeof boxes[i].box);
    }
    *n = r->err == ERR_OK ? count : 0;
}

err_t radio_key_read(bytes payload, uint8_t *epoch, radio_key_box *boxes, size_t *n)
{
    mp_reader r = mp_reader_of(payload);
    bool has_boxes = false, has_epoch = false;
    *n = 0;
    for (uint32_t left = mp_map(&r); left > 0 && r.err == ERR_OK; left--) {
        bytes key = mp_str(&r);
        if (bytes_is(key, "boxes")) {
            read_boxes(&r, boxes, n);
            has_boxes = true;
        } else if (bytes_is(key, "epoch")) {
            uint64_t v = mp_uint(&r);
            if (v > UINT8_MAX)
                mp_fail(&r, ERR_OUT_OF_RANGE);
            *epoch = (uint8_t)v;
            has_epoch = true;
        } else {
            (void)mp_any(&r); /* of a later version */
        }
    }
    if (!has_boxes || !has_epoch)
        mp_fail(&r, ERR_MALFORMED);
    return mp_done(&r);
}
