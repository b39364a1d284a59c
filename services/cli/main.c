/* The table of commands: everything that cairn can be asked, with its options and help. */
#include "cli/cmd.h"

#ifndef CAIRN_VERSION
#define CAIRN_VERSION "0.1.0"
#endif

#define END_OF_OPTIONS                                                                             \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const cmdline_option global_options[] = {
    {"home", 0, OPT_PLAIN, "DIR", NULL,
     "the node's directory (else CAIRN_HOME, else the XDG state directory)", 0, 0, false},
    {"json", 0, OPT_PLAIN, NULL, NULL, "print JSON, one object a line", 0, 0, false},
    {"quiet", 'q', OPT_PLAIN, NULL, NULL, "say nothing but errors on standard error", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option init_options[] = {
    {"dataset", 0, OPT_NAME, "TITLE", NULL, "what the dataset is called", 0, TITLE_MAX_BYTES, true},
    {"name", 0, OPT_NAME, "NODE", NULL, "what this node is called", 0, NAME_MAX_BYTES, true},
    END_OF_OPTIONS,
};

static const cmdline_option up_options[] = {
    {"detach", 'd', OPT_PLAIN, NULL, NULL, "go on in the background; return when all is ready", 0,
     0, false},
    {"listen", 0, OPT_ADDRESS, "ADDR:PORT", NULL,
     "where members connect; the lobby is one port higher", 0, 0, false},
    {"peer", 0, OPT_ADDRESSES, "HOST:PORT", NULL, "a peer to connect to", 0, 0, false},
    {"no-discovery", 0, OPT_PLAIN, NULL, NULL, "send and hear no beacons on the LAN", 0, 0, false},
    {"no-lan", 0, OPT_PLAIN, NULL, NULL, "no network at all: neither listen nor connect", 0, 0,
     false},
    {"radio", 0, OPT_PLAIN, "DEVICE", NULL,
     "drive the radio modem at this line too: /dev/ttyACM0 or tcp:HOST[:PORT]", 0, 0, false},
    {"region", 0, OPT_PLAIN, "REGION", NULL,
     "whose law holds where the aerial stands: eu868, eu433 or us915", 0, 0, false},
    {"preset", 0, OPT_PLAIN, "PRESET", NULL,
     "what range and speed, the same at all stations: speed, fast, medium, far, range, reach, wide",
     0, 0, false},
    {"modem", 0, OPT_CHOICE, "rnode|meshcore", NULL, "what firmware the modem has", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option invite_options[] = {
    {"role", 0, OPT_CHOICE, "field|coordinator|reader", "field", "what the joiner may do", 0, 0,
     false},
    {"uses", 0, OPT_NUMBER, "N", "1", "how many machines may use it", 1, 1000, false},
    {"expires", 0, OPT_DURATION, "TIME", "24h", "how long it is valid", 0, 0, false},
    {"confirm", 0, OPT_PLAIN, NULL, NULL,
     "wait for the joiner and ask here whether the codes match", 0, 0, false},
    {"address", 0, OPT_ADDRESSES, "HOST:PORT", NULL,
     "where the joiner finds this node's lobby, instead of what is found", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option readd_options[] = {
    {"all", 0, OPT_PLAIN, NULL, NULL, "every member that lost whoever had added it", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option heir_use_options[] = {
    {"heads", 0, OPT_LIST, "FEED:SEQ", NULL,
     "keep that feed only so far (default: all that this node holds); 0 keeps nothing", 0, 0,
     false},
    {"yes", 'y', OPT_PLAIN, NULL, NULL, "do not ask whether to go on", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option health_options[] = {
    {"live", 0, OPT_PLAIN, NULL, NULL, "does it answer? (also while it waits for something)", 0, 0,
     false},
    {"ready", 0, OPT_PLAIN, NULL, NULL, "can it do its whole work now? (the default)", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option join_options[] = {
    {"if-asked", 0, OPT_PLAIN, NULL, NULL,
     "for start scripts: do nothing without a token, or where there is a dataset", 0, 0, false},
    {"name", 0, OPT_NAME, "NODE", NULL, "what this machine calls itself (default: its host name)",
     0, NAME_MAX_BYTES, false},
    END_OF_OPTIONS,
};

#define ATTRIBUTES                                                                                  \
    {"at", 0, OPT_PLAIN, "TIME", NULL, "when it happened: 2026-11-20 or 2026-11-20T14:05",          \
     0,    0, false},                                                                               \
        {"by", 0, OPT_PLAIN, "PERSON", NULL, "who says so", 0, 0, false},                           \
        {"why", 0, OPT_PLAIN, "TEXT", NULL, "the reason", 0, 0, false},                             \
        {"personal", 0,    OPT_PLAIN,                                                               \
         NULL,       NULL, "personal data: salted, so that nobody guesses it once it was erased",   \
         0,          0,    false},                                                                  \
        {"urgent", 'u', OPT_PLAIN, NULL, NULL, "use the express feed: goes before everything else", \
         0,        0,   false},                                                                     \
    {                                                                                               \
        "idem", 0, OPT_PLAIN, "KEY", NULL, "a key that makes a repeated call harmless", 0, 0,       \
            false                                                                                   \
    }
#define FORM                                                                                       \
    {                                                                                              \
        "form", 'f', OPT_PLAIN, "FORM", NULL, "the record's form, if two forms have that id", 0,   \
            0, false                                                                               \
    }
#define REPLACES                                                                                   \
    {                                                                                              \
        "replaces", 0, OPT_LIST, "REF", NULL,                                                      \
            "what the screen showed, as FEED:SEQ:PREFIX (default: what is live now)", 0, 0, false  \
    }

static const cmdline_option create_options[] = {
    {"id", 0, OPT_PLAIN, "RECORD", NULL, "the record's id (default: a short one is made)", 0, 0,
     false},
    ATTRIBUTES,
    END_OF_OPTIONS,
};
static const cmdline_option edit_options[] = {FORM, REPLACES, ATTRIBUTES, END_OF_OPTIONS};
static const cmdline_option note_options[] = {FORM, ATTRIBUTES, END_OF_OPTIONS};
static const cmdline_option erase_options[] = {
    {"event", 0, OPT_LIST, "EVENT", NULL,
     "an event as cairn log and cairn show name it, like 3-17, instead of a record", 0, 0, false},
    {"why", 0, OPT_PLAIN, "TEXT", NULL, "the reason; it stays readable", 0, 0, true},
    {"by", 0, OPT_PLAIN, "PERSON", NULL, "who says so", 0, 0, false},
    {"yes", 'y', OPT_PLAIN, NULL, NULL, "do not ask", 0, 0, false},
    {"urgent", 'u', OPT_PLAIN, NULL, NULL, "use the express feed: goes before everything else", 0,
     0, false},
    FORM,
    END_OF_OPTIONS,
};
static const cmdline_option emit_options[] = {
    {"expect", 0, OPT_PLAIN, "empty|N", NULL, "append only if the stream has so many events here",
     0, 0, false},
    REPLACES,
    ATTRIBUTES,
    END_OF_OPTIONS,
};
static const cmdline_option show_options[] = {
    FORM,
    {"history", 0, OPT_PLAIN, NULL, NULL, "what was replaced too", 0, 0, false},
    END_OF_OPTIONS,
};
static const cmdline_option log_options[] = {
    {"follow", 'f', OPT_PLAIN, NULL, NULL, "go on as events arrive", 0, 0, false},
    {"category", 'c', OPT_PLAIN, "NAME", NULL, "only this category", 0, 0, false},
    {"stream", 's', OPT_PLAIN, "NAME", NULL, "only this stream", 0, 0, false},
    {"feed", 0, OPT_NUMBER, "FEED", NULL, "only this feed", 0, UINT32_MAX, false},
    {"after", 0, OPT_NUMBER, "OFFSET", NULL, "only what arrived after this offset", 0, 0, false},
    END_OF_OPTIONS,
};
static const cmdline_option status_options[] = {
    {"watch", 'w', OPT_PLAIN, NULL, NULL, "again every second", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option import_options[] = {
    {"form", 'f', OPT_PLAIN, "FORM", NULL, "the form that the rows are records of", 0, 0, true},
    {"key", 'k', OPT_PLAIN, "COLUMN", NULL,
     "column that names the record; a changed row becomes an edit", 0, 0, false},
    {"at", 0, OPT_PLAIN, "COLUMN", NULL, "column that says when it happened", 0, 0, false},
    {"dates", 0, OPT_CHOICE, "mdy|dmy|iso", "mdy", "how dates with slashes are meant: 4/7/2019", 0,
     0, false},
    {"delimiter", 0, OPT_PLAIN, "CHARACTER", ",", "what stands between cells", 0, 0, false},
    END_OF_OPTIONS,
};
static const cmdline_option export_command_options[] = {
    {"format", 0, OPT_CHOICE, "csv|ndjson|geojson|canonical", "csv", "what to write", 0, 0, false},
    {"output", 'o', OPT_PLAIN, "FILE", NULL, "write there instead of standard output", 0, 0, false},
    {"record-id", 0, OPT_PLAIN, NULL, NULL, "csv: also a column _record", 0, 0, false},
    {"lat", 0, OPT_PLAIN, "FIELD", NULL, "geojson: field of the latitude (default: found by name)",
     0, 0, false},
    {"lon", 0, OPT_PLAIN, "FIELD", NULL, "geojson: field of the longitude", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option demo_options[] = {
    {"seed", 0, OPT_NUMBER, "N", "1", "vary what the teams write", 0, 0, false},
    {"keep", 0, OPT_PLAIN, NULL, NULL, "leave the nodes up and their directories there", 0, 0,
     false},
    END_OF_OPTIONS,
};

static const cmdline_option bundle_write_options[] = {
    {"since", 0, OPT_PLAIN, "FILE", NULL, "leave out what that earlier bundle holds", 0, 0, false},
    END_OF_OPTIONS,
};
static const cmdline_option config_show_options[] = {
    {"origin", 0, OPT_PLAIN, NULL, NULL, "also where each value comes from", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option bench_options[] = {
    {"events", 0, OPT_NUMBER, "N", "1000000", "events to write in batches of 1000", 10000,
     100000000, false},
    {"sustained", 0, OPT_NUMBER, "SECONDS", "0", "also write for so long without a pause", 0, 3600,
     false},
    END_OF_OPTIONS,
};

static const cmdline_option radio_probe_options[] = {
    {"region", 0, OPT_PLAIN, "REGION", NULL,
     "also configure it as there: eu868, eu433 or us915; an RNode is switched off afterwards", 0, 0,
     false},
    {"preset", 0, OPT_PLAIN, "PRESET", "medium",
     "what range and speed: speed, fast, medium, far, range, reach, wide", 0, 0, false},
    {"modem", 0, OPT_CHOICE, "rnode|meshcore", "rnode", "what firmware to expect", 0, 0, false},
    {"baud", 0, OPT_CHOICE, "9600|19200|38400|57600|115200|230400|460800|921600", "115200",
     "speed of the serial line", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option radio_airtime_options[] = {
    {"csv", 0, OPT_PLAIN, NULL, NULL, "one line per second on the air, for a spreadsheet", 0, 0,
     false},
    END_OF_OPTIONS,
};

static const cmdline_option radio_log_options[] = {
    {"follow", 'f', OPT_PLAIN, NULL, NULL, "go on with what happens from now on", 0, 0, false},
    END_OF_OPTIONS,
};

static const cmdline_option radio_key_options[] = {
    {"rotate", 0, OPT_PLAIN, NULL, NULL, "make a new key, which removed members do not get", 0, 0,
     false},
    END_OF_OPTIONS,
};

static const cmdline_row rows[] = {
    {.name = "init",
     .group = "A node",
     .doc = "found a dataset on this machine",
     .options = init_options,
     .run = cmd_init,
     .about = "Makes this node's keys and the dataset's first event. The heir key is printed once: "
              "keep it on paper."},
    {.name = "up",
     .group = "A node",
     .doc = "run this node's processes",
     .options = up_options,
     .run = cmd_up,
     .about = "What is said here about the radio can stand in the configuration instead: "
              "radio.device, radio.region, radio.preset, radio.modem.",
     .examples = "cairn up --detach\n"
                 "cairn up --radio /dev/ttyACM0 --region eu868 --preset medium"},
    {.name = "down", .group = "A node", .doc = "stop them, in order", .run = cmd_down},
    {.name = "status",
     .group = "A node",
     .doc = "this node, its processes, its peers, honestly",
     .options = status_options,
     .run = cmd_status},
    {.name = "invite",
     .group = "Members",
     .args = "NAME",
     .doc = "print a token that lets a machine join",
     .options = invite_options,
     .run = cmd_invite},
    {.name = "join",
     .group = "Members",
     .args = "[TOKEN]",
     .doc = "enrol this machine with the inviting node",
     .options = join_options,
     .run = cmd_join},
    {.name = "member ls", .group = "Members", .doc = "who belongs", .run = cmd_member_ls},
    {.name = "member remove",
     .group = "Members",
     .args = "NAME",
     .doc = "shut a lost machine out, everywhere",
     .run = cmd_member_remove},
    {.name = "member readd",
     .group = "Members",
     .args = "[NAME…]",
     .doc = "add a member again that lost whoever had added it",
     .about =
         "A member is orphaned when its coordinator is removed, or when a founder is replaced who "
         "had "
         "added it later than what is kept. It comes back with its number, key, name and role.",
     .options = readd_options,
     .run = cmd_member_readd},
    {.name = "heir take",
     .group = "Members",
     .doc = "show the heir key of a camp that was founded in containers, and remove it",
     .about = "Where the dataset was founded by itself, at the first start of the containers, "
              "nobody saw the heir key. It waits in merge's volume until it has been printed "
              "here once.",
     .run = cmd_heir_take},
    {.name = "heir check",
     .group = "Members",
     .args = "[FILE]",
     .doc = "is this the heir key of this dataset? writes nothing",
     .about = "The key is typed at the terminal, which does not show it, or read from FILE (- "
              "reads standard "
              "input). The exit code is 1 for no.",
     .run = cmd_heir_check},
    {.name = "heir use",
     .group = "Members",
     .args = "[FILE]",
     .doc = "replace a founder whose machine is lost or stolen: this node takes over",
     .about =
         "Needs the heir key that init printed, typed at the terminal, which does not show it, or "
         "read from "
         "FILE (- reads standard input). Shown is how much of each feed of the old founder is "
         "kept; the rest, "
         "and all that it writes from now on, counts nowhere, whoever hears what first. Members "
         "that it had "
         "added later than that are orphaned: member readd.\n\n"
         "A new founder's key is made and stays on this machine (merge/founder.key), beside the "
         "member's own: "
         "here, invite, member remove and member readd act for the founder from now on; what "
         "people write goes "
         "on under this node's own name. A new heir key is printed once. Destroy the old paper.\n\n"
         "When two people use copies of one key without hearing of each other, both become "
         "founders, and what "
         "both kept is kept.",
     .examples = "cairn heir use\ncairn heir use --heads 1:120 --heads 65537:0 --yes - < key.txt",
     .options = heir_use_options,
     .run = cmd_heir_use},
    {.name = "create",
     .group = "Records",
     .args = "FORM [FIELD=VALUE…]",
     .doc = "enter a record",
     .options = create_options,
     .run = cmd_create},
    {.name = "set",
     .group = "Records",
     .args = "RECORD FIELD=VALUE…",
     .doc = "change fields; resolves their conflicts",
     .options = edit_options,
     .run = cmd_set},
    {.name = "note",
     .group = "Records",
     .args = "RECORD TEXT",
     .doc = "add a note",
     .options = note_options,
     .run = cmd_note},
    {.name = "delete",
     .group = "Records",
     .args = "RECORD",
     .doc = "mark a record deleted",
     .options = edit_options,
     .run = cmd_delete},
    {.name = "erase",
     .group = "Records",
     .args = "[RECORD] [FIELD…]",
     .doc = "make personal data go, for good, everywhere",
     .options = erase_options,
     .about = "Hides the events that wrote it: one's own, or as founder anybody's. Their contents "
              "leave the disks after 30 days, a founder's erasure at once; that something was "
              "there, when and by whom stays. What else those events wrote is written anew.",
     .run = cmd_erase},
    {.name = "ls", .group = "Reading", .args = "[FORM]", .doc = "list records", .run = cmd_ls},
    {.name = "show",
     .group = "Reading",
     .args = "RECORD",
     .doc = "one record: values, by whom, when",
     .options = show_options,
     .run = cmd_show},
    {.name = "conflicts",
     .group = "Reading",
     .args = "[FORM]",
     .doc = "which values compete",
     .run = cmd_conflicts},
    {.name = "demo",
     .group = "This machine",
     .doc = "see a camp part, work, meet and converge, in a minute",
     .options = demo_options,
     .run = cmd_demo},
    {.name = "bench",
     .group = "This machine",
     .doc = "measure speed and size on this machine, beside its raw limits",
     .options = bench_options,
     .run = cmd_bench},
    {.name = "import",
     .group = "Files",
     .args = "FILE",
     .doc = "take a CSV file in: a record per row (- reads standard input)",
     .options = import_options,
     .run = cmd_import},
    {.name = "export",
     .group = "Files",
     .args = "[FORM]",
     .doc = "write records for spreadsheets, maps and programs",
     .options = export_command_options,
     .run = cmd_export},
    {.name = "bundle write",
     .group = "Files",
     .args = "FILE",
     .doc = "put all that this node holds into a file, say for a USB stick (- writes to a pipe)",
     .options = bundle_write_options,
     .run = cmd_bundle_write},
    {.name = "bundle read",
     .group = "Files",
     .args = "FILE…",
     .doc = "take such a file in, checked like a peer (- reads standard input)",
     .run = cmd_bundle_read},
    {.name = "log",
     .group = "Events",
     .doc = "the events in order of arrival",
     .options = log_options,
     .run = cmd_log},
    {.name = "emit",
     .group = "Events",
     .args = "CATEGORY STREAM KIND [JSON]",
     .doc = "write any event (JSON - reads standard input)",
     .options = emit_options,
     .run = cmd_emit},
    {.name = "verify",
     .group = "Care",
     .doc = "hash every event and check every seal of the whole store again",
     .about = "Names the first bad event and ends with exit code 1 when there is one.",
     .run = cmd_verify},
    {.name = "projection ls",
     .group = "Care",
     .doc = "the views that are built from the log, and how far they are",
     .run = cmd_projection_ls},
    {.name = "projection rebuild",
     .group = "Care",
     .args = "NAME",
     .doc = "build a view anew beside the old one, then swap them",
     .run = cmd_projection_rebuild},
    {.name = "doctor",
     .group = "Care",
     .doc = "look for what is wrong with this machine and node, and what mends it",
     .about = "Each line is OK, WARN or FAIL. The exit code is 1 when any is FAIL.",
     .run = cmd_doctor},
    {.name = "health",
     .group = "Care",
     .args = "SERVICE",
     .doc = "ask one process how it is; for health checks",
     .options = health_options,
     .about = "SERVICE is store, merge, gossip or projection. Exit code 0 for yes, 1 for no, with "
              "the reason in one line.",
     .run = cmd_health},
    {.name = "radio probe",
     .group = "Care",
     .args = "DEVICE",
     .doc = "which radio modem is there, and what it takes",
     .options = radio_probe_options,
     .run = cmd_radio_probe,
     .about =
         "DEVICE is a serial line (/dev/ttyACM0) or tcp:HOST[:7633]. Without --region the modem "
         "is only asked what it is and its radio stays as it is.",
     .examples = "cairn radio probe /dev/ttyACM0\n"
                 "cairn radio probe tcp:10.0.0.17 --region eu868 --preset medium"},
    {.name = "radio key",
     .group = "Care",
     .doc = "give the dataset's radio key to all members",
     .options = radio_key_options,
     .run = cmd_radio_key,
     .about =
         "At the founder's. The first time it makes the key; who joins later gets it by itself. "
         "After a member was removed, --rotate makes the next one: it is used 24 hours later, so "
         "that it can reach all stations under the old one."},
    {.name = "radio airtime",
     .group = "Care",
     .doc = "the airtime that counts in the present hour, for proof",
     .options = radio_airtime_options,
     .run = cmd_radio_airtime},
    {.name = "radio log",
     .group = "Care",
     .doc = "what was sent and heard lately",
     .options = radio_log_options,
     .run = cmd_radio_log},
    {.name = "config check",
     .group = "Care",
     .doc = "is the configuration file right?",
     .run = cmd_config_check},
    {.name = "config show",
     .group = "Care",
     .doc = "the options as they hold now",
     .options = config_show_options,
     .run = cmd_config_show},
    {.name = "config example",
     .group = "Care",
     .doc = "a configuration file with every option explained",
     .run = cmd_config_example},
};

int main(int argc, char **argv)
{
    static const cmdline_program program = {
        .name = "cairn",
        .version = CAIRN_VERSION,
        .doc = "a dataset for teams that work off the grid",
        .about = "Every node holds the whole log, signed and append-only; nodes meet when they can "
                 "and converge on the "
                 "same records, conflicts on show.",
        .options = global_options,
        .rows = rows,
        .n_rows = sizeof rows / sizeof rows[0],
    };
    return cmdline_main(&program, argc, argv);
}
