/* The first start in containers: gossip's part of what shell/camp.h describes. */
#include "gossip/curve.h"
#include "gossip/gossip_shell.h"
#include "pure/crypto.h"
#include "shell/camp.h"

#include <stdio.h>

#define JOINED_MAX_BYTES (RUN_MAX_BYTES + 65536u)

static err_t put_transport(service *s, buf *why)
{
    uint8_t secret[TRANSPORT_KEY_BYTES];
    transport_key public, there;
    const cairn_home *home = service_home(s);
    TRY(curve_load_key(service_dir(s), secret, &public, why));
    crypto_wipe(secret, sizeof secret);
    if (camp_get_hex(home, "transport", there.b, sizeof there.b) == ERR_OK &&
        memcmp(&there, &public, sizeof public) == 0)
        return ERR_OK;
    err_t e = camp_put_hex(home, "transport", public.b, sizeof public.b);
    if (e != ERR_OK)
        buf_addf(why, "cannot write to %s: %s", home->run, err_text(e));
    return e;
}

/* [number, name, genesis, intros]: the last is whom a new member may trust before it has the roster. */
static err_t take_intros(service *s, bytes joined, buf *why)
{
    char path[HOME_PATH_MAX];
    mp_reader r = mp_reader_of(joined);
    if (mp_array(&r) < 4)
        mp_fail(&r, ERR_MALFORMED);
    (void)mp_uint(&r);
    (void)mp_str(&r);
    (void)mp_bin(&r);
    bytes intros = mp_bin(&r);
    home_path(service_home(s), path, "gossip/intros");
    err_t e = r.err == ERR_OK ? home_write_file(path, intros) : r.err;
    if (e != ERR_OK)
        buf_addf(why, "cannot write %s: %s", path, err_text(e));
    return e;
}

err_t gossip_enrol(service *s, buf *why)
{
    buf joined;
    TRY(put_transport(s, why));
    buf_init(&joined, JOINED_MAX_BYTES);
    err_t e = camp_get(service_home(s), "joined", &joined);
    if (e == ERR_OK)
        e = take_intros(s, buf_view(&joined), why);
    buf_release(&joined);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
