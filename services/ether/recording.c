/* Yesterday's traffic: the lines of frames that an ether has printed, played again. Other kinds of lines are passed over. */
#include "ether/lab.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* A whole number of a line, within its bounds. */
static bool number(const json_t *line, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const json_t *v = json_object_get(line, name);
    *out = json_integer_value(v);
    return json_is_integer(v) && *out >= min && *out <= max;
}

static bool tuning_of(const json_t *line, air_tuning *out)
{
    int64_t hz, bw, sf, cr, power, preamble;
    const char *chip = json_string_value(json_object_get(line, "chip"));
    if (chip == NULL || !number(line, "hz", 1, UINT32_MAX, &hz) ||
        !number(line, "bw_hz", 1000, 2000000, &bw) ||
        !number(line, "sf", LORA_SF_MIN, LORA_SF_MAX, &sf) ||
        !number(line, "cr", LORA_CR_MIN, LORA_CR_MAX, &cr) ||
        !number(line, "txpower_dbm", -20, 40, &power) ||
        !number(line, "preamble", 0, 65535, &preamble))
        return false;
    *out = (air_tuning){.hz = (uint32_t)hz, .txpower_dbm = (int8_t)power, .on = true};
    out->lora = (lora_modulation){
        .chip = strcmp(chip, "sx127x") == 0 ? LORA_SX127X : LORA_SX126X,
        .sf = (uint8_t)sf,
        .cr = (uint8_t)cr,
        .bw_hz = (uint32_t)bw,
        .preamble_symbols = (uint16_t)preamble,
        .ldro = rnode_ldro((uint8_t)sf, (uint32_t)bw),
    };
    return true;
}

typedef struct {
    lab *l;
    air_us first, origin; /* origin: time of the recording's first frame */
    bool begun;
} playing;

static err_t play_line(playing *p, const json_t *line)
{
    uint8_t frame[LORA_PAYLOAD_MAX_BYTES];
    air_tuning tuning;
    const char *hex = json_string_value(json_object_get(line, "data"));
    double ms = json_number_value(json_object_get(line, "at_ms"));
    size_t len = hex != NULL ? strlen(hex) / 2 : 0;
    if (hex == NULL || len > sizeof frame || !hex_decode(frame, len, hex, strlen(hex)) ||
        !(ms >= 0 && ms < 1e14) || !tuning_of(line, &tuning))
        return ERR_MALFORMED;
    air_us at = {(uint64_t)(ms * 1000 + 0.5)};
    if (!p->begun)
        p->origin = at;
    p->begun = true;
    if (p->first.us != AIR_NEVER.us)
        at = air_after(p->first, at.us > p->origin.us ? at.us - p->origin.us : 0);
    return ether_play(p->l->e, &tuning, bytes_of(frame, len), at);
}

static err_t play_text(playing *p, const char *text, size_t len)
{
    json_t *line = json_loadb(text, len, 0, NULL);
    const char *kind = json_string_value(json_object_get(line, "kind"));
    err_t e = line == NULL ? ERR_MALFORMED : ERR_OK;
    if (kind != NULL && strcmp(kind, "frame") == 0)
        e = play_line(p, line);
    json_decref(line);
    return e;
}

err_t lab_play(lab *l, const char *path, air_us first, buf *why)
{
    playing p = {.l = l, .first = first};
    char *text = NULL;
    size_t cap = 0, number_of_line = 0;
    ssize_t len;
    err_t e = ERR_OK;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        buf_addf(why, "cannot read %s: %s", path, strerror(errno));
        return ERR_NOT_FOUND;
    }
    while (e == ERR_OK && (len = getline(&text, &cap, f)) >= 0) {
        number_of_line++;
        e = len > 1 ? play_text(&p, text, (size_t)len) : ERR_OK;
    }
    if (e == ERR_MALFORMED)
        buf_addf(why, "%s:%zu: this is no line of an ether's recording", path, number_of_line);
    else if (e != ERR_OK)
        buf_add_str(why, err_text(e));
    free(text);
    fclose(f);
    return e;
}
