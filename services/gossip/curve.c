#include "gossip/curve.h"

#include "pure/crypto.h"
#include "shell/clock.h"
#include "shell/home.h"

#include <stdio.h>
#include <zmq.h>

/* Stable in libzmq 4.3.4, but its name is only in the header when DRAFT parts are built. */
#define ZAP_ENFORCE_DOMAIN 93
#define Z85_BYTES          41

void curve_public(transport_key *public, const uint8_t secret[TRANSPORT_KEY_BYTES])
{
    char text[Z85_BYTES], out[Z85_BYTES];
    zmq_z85_encode(text, secret, TRANSPORT_KEY_BYTES);
    memset(public->b, 0, sizeof public->b);
    if (zmq_curve_public(out, text) == 0)
        zmq_z85_decode(public->b, out);
    crypto_wipe(text, sizeof text);
}

static err_t make_key(const char *path, uint8_t secret[TRANSPORT_KEY_BYTES])
{
    uint8_t file[CRYPTO_STORED_BYTES];
    random_fill(secret, TRANSPORT_KEY_BYTES);
    crypto_seed_store(file, secret);
    err_t e = home_write_file(path, bytes_of(file, sizeof file));
    crypto_wipe(file, sizeof file);
    return e;
}

err_t curve_load_key(const char *dir, uint8_t secret[TRANSPORT_KEY_BYTES], transport_key *public,
                     buf *why)
{
    char path[HOME_PATH_MAX + 32];
    buf file;
    snprintf(path, sizeof path, "%s/transport.key", dir);
    buf_init(&file, CRYPTO_STORED_BYTES);
    err_t e = home_read_file(path, &file);
    if (e == ERR_NOT_FOUND)
        e = home_make_dir(dir) == ERR_OK ? make_key(path, secret) : ERR_IO;
    else if (e == ERR_OK)
        e = file.len == CRYPTO_STORED_BYTES ? crypto_seed_load(secret, file.p) : ERR_CHECKSUM;
    if (e == ERR_OK)
        curve_public(public, secret);
    else if (e == ERR_CHECKSUM || e == ERR_TOO_LARGE)
        buf_addf(why, "%s is damaged: restore it from a backup, or remove it and join again", path);
    else
        buf_addf(why, "cannot use %s: %s", path, err_text(e));
    buf_release(&file);
    return e;
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

err_t curve_server(void *socket, const uint8_t secret[TRANSPORT_KEY_BYTES], const char *domain)
{
    bool ok = set_int(socket, ZMQ_CURVE_SERVER, 1) && set_int(socket, ZAP_ENFORCE_DOMAIN, 1) &&
              zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == 0 &&
              zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, TRANSPORT_KEY_BYTES) == 0;
    return ok ? ERR_OK : ERR_BUG;
}

err_t curve_client(void *socket, const uint8_t secret[TRANSPORT_KEY_BYTES],
                   const transport_key *server)
{
    transport_key public;
    curve_public(&public, secret);
    bool ok = zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server->b, sizeof server->b) == 0 &&
              zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public.b, sizeof public.b) == 0 &&
              zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, TRANSPORT_KEY_BYTES) == 0;
    return ok ? ERR_OK : ERR_BUG;
}

void curve_lan(void *socket, int queue_messages, size_t message_max_bytes)
{
    int64_t most = (int64_t)message_max_bytes;
    static const struct {
        int option, value;
    } rows[] = {
        {ZMQ_HEARTBEAT_IVL, 2000},   {ZMQ_HEARTBEAT_TIMEOUT, 6000},
        {ZMQ_HEARTBEAT_TTL, 10000},  {ZMQ_HANDSHAKE_IVL, 5000},
        {ZMQ_CONNECT_TIMEOUT, 5000}, {ZMQ_RECONNECT_IVL, -1},
        {ZMQ_RECONNECT_IVL_MAX, 0},  {ZMQ_BACKLOG, 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        (void)set_int(socket, rows[i].option, rows[i].value);
    (void)set_int(socket, ZMQ_SNDHWM, queue_messages);
    (void)set_int(socket, ZMQ_RCVHWM, queue_messages);
    (void)zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
}
