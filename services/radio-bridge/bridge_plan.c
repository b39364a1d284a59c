/* What was chosen, by options or in the configuration, and whether the law allows it. */
#include "radio-bridge/bridge.h"

#include "shell/line.h"

static const char *chosen(service *s, const char *name)
{
    const char *given = service_opt(s, name, 0);
    return given != NULL ? given : config_str(service_config(s), "radio", name);
}

static void list_regions(buf *why)
{
    for (size_t i = 0; i < radio_regions_count; i++)
        buf_addf(why, "%s%s", i > 0 ? ", " : "", radio_regions[i].name);
}

static err_t choose_region(bridge_plan *p, const char *name, buf *why)
{
    p->region = radio_region_named(name);
    if (p->region != NULL)
        return ERR_OK;
    if (name[0] == '\0')
        buf_add_str(why, "a radio needs its region (--region or radio.region), one of ");
    else
        buf_addf(why, "there is no radio region \"%s\": choose one of ", name);
    list_regions(why);
    return ERR_INVALID;
}

static err_t choose_preset(bridge_plan *p, const char *name, buf *why)
{
    p->preset = radio_preset_named(name);
    if (p->preset != NULL)
        return ERR_OK;
    buf_addf(why, "there is no radio preset \"%s\": choose one of ", name);
    for (size_t i = 0; i < radio_presets_count; i++)
        buf_addf(why, "%s%s", i > 0 ? ", " : "", radio_presets[i].name);
    return ERR_INVALID;
}

static err_t choose_kind(bridge_plan *p, const char *name, buf *why)
{
    p->kind = driver_kind_named(name);
    if (p->kind == NULL)
        buf_addf(why, "there is no kind of modem \"%s\": rnode or meshcore", name);
    return p->kind != NULL ? ERR_OK : ERR_INVALID;
}

err_t bridge_plan_read(service *s, bridge_plan *p, buf *why)
{
    const config *c = service_config(s);
    *p = (bridge_plan){.device = chosen(s, "device"),
                       .baud = (unsigned)config_int(c, "radio", "baud"),
                       .hz = (uint32_t)config_int(c, "radio", "hz"),
                       .bridge = (uint8_t)config_int(c, "radio", "bridge")};
    if (p->device[0] == '\0') {
        buf_add_str(why, "no radio is configured: name its line with --device or radio.device");
        return ERR_INVALID;
    }
    TRY(choose_region(p, chosen(s, "region"), why));
    TRY(choose_preset(p, chosen(s, "preset"), why));
    TRY(choose_kind(p, chosen(s, "modem"), why));
    if (p->hz == 0)
        p->hz = p->region->default_hz;
    p->band = radio_band_of(p->region->name, p->hz, p->preset->bw_hz);
    if (p->band == NULL) {
        buf_addf(why, "preset %s at %u Hz is not allowed in %s", p->preset->name, p->hz,
                 p->region->name);
        return ERR_INVALID;
    }
    long power = config_int(c, "radio", "txpower_dbm");
    p->set = (driver_settings){.hz = p->hz,
                               .bw_hz = p->preset->bw_hz,
                               .sf = p->preset->sf,
                               .cr = p->preset->cr,
                               .txpower_dbm = (int8_t)power,
                               .tcp = line_is_tcp(p->device),
                               .restart_first = true};
    if (power > p->band->erp_max_dbm)
        p->set.txpower_dbm = (int8_t)p->band->erp_max_dbm;
    return ERR_OK;
}
