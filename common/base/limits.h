/* Every bound of Cairn, each with its unit in the name and the reason beside it.
 * A peer, a file or a flag can make us keep or do no more than these numbers allow. */
#ifndef CAIRN_LIMITS_H
#define CAIRN_LIMITS_H

#include <assert.h>

/* A table for people, aligned by hand: */
/* clang-format off */

/* ---- the event: the frozen gate (design section 2). These never change. ---- */
#define EVENT_MAX_BYTES    65536u /* a body; also one LoRa hour's worth would be absurd */
#define EVENT_MIN_ELEMENTS 7u
#define EVENT_MAX_ELEMENTS 15u
#define EVENT_MAX_DEPTH    16u    /* containers within containers, the outer array counts */
#define SEAL_MAX_EVENTS    256u   /* events from one seal to the next */
#define SEAL_MAX_BYTES     65536u /* bodies from one seal to the next, or one event */
#define CATEGORY_MAX_BYTES 64u
#define STREAM_MAX_BYTES   128u
#define KIND_MAX_BYTES     64u
#define REPLACES_MAX       32u
#define WALL_MAX_MS        0xffffffffffffull /* below 2^48 */

/* ---- sizes of keys, hashes, signatures: fixed by libsodium and the format ---- */
#define EVENT_ID_BYTES      32u
#define SEAL_BYTES          64u
#define MEMBER_KEY_BYTES    32u
#define MEMBER_SEED_BYTES   32u
#define TRANSPORT_KEY_BYTES 32u
#define CHECKSUM_BYTES      8u

/* ---- the clock ---- */
#define CLOCK_DRAG_MAX_MS (24ull * 3600 * 1000) /* a stamp further ahead does not drag ours along  \
                                                 */

/* ---- messages between processes and nodes ---- */
#define MESSAGE_MAX_BYTES    (4u << 20) /* one body; a run or batch is cut to fit */
#define PACK_MAX_MESSAGES    256u       /* in one ZeroMQ frame */
#define PACK_BYTES           65536u     /* a frame with that much in it is sent without waiting for more */
#define RUN_MAX_BYTES        (1u << 20) /* one run on LAN */
#define RUN_MAX_EVENTS       4096u      /* events in one run on LAN, over several seals */
#define BATCH_MAX_EVENTS     4096u      /* events in one emit or append: a whole run fits */
#define BATCH_MAX_BYTES      (1u << 20) /* bodies in one append */
#define FETCH_MAX_ROWS       8192u
#define FETCH_MAX_BYTES      (1u << 20)
#define FETCH_MAX_WAIT_MS    60000u
#define IDEM_KEY_MAX_BYTES   64u
#define IDEM_KEEP_MS         (30ull * 86400 * 1000) /* how long a repeated request is recognised */
#define NAME_MAX_BYTES       64u /* of a member, a node, a form */
#define TITLE_MAX_BYTES      128u
#define ERROR_TEXT_MAX_BYTES 256u
#define ADDRESS_MAX_BYTES    128u /* host:port or an ipc path */

/* ---- what peers may make us keep ---- */
#define MEMBERS_MAX          65535u /* numbers are u16; 0 is nobody */
#define INVITES_MAX          256u
#define PEERS_MAX            64u
#define PEER_QUEUE_MAX       64u        /* messages waiting on one link, then it is slow */
#define QUARANTINE_MAX_BYTES (4u << 20) /* runs whose predecessor is not here yet, all feeds */
#define QUARANTINE_MAX_RUNS  1024u
#define REFUSALS_MAX         1024u /* newest refusals kept readable */
#define FORK_TIPS_MAX        64u   /* tips of one feed that count against a quota */
#define FRONTIER_MAX         65536u

/* ---- gossip: what one link, and all together, may cost ---- */
#define GOSSIP_RUN_BYTES        262144u /* size of a run to aim for: small enough for urgent ones to slip in between */
#define GOSSIP_WINDOW_RUNS      8u      /* runs of one want under way */
#define GOSSIP_RUNS_MAX         32u     /* runs of all wants asked for and not yet stored */
#define GOSSIP_WANTS_PER_LINK   8u
#define GOSSIP_FLIGHTS_MAX      128u    /* feeds being fetched at one moment */
#define GOSSIP_JOBS_MAX         16u     /* wants of one peer being served */
#define GOSSIP_GRUDGES_MAX      64u     /* feeds one member is not asked for, for a while */
#define GOSSIP_LOCATES_MAX      64u     /* questions to the store under way */
#define GOSSIP_LOCATED_MAX      4096u   /* answers remembered */
#define GOSSIP_NEWS_ENTRIES_MAX 256u    /* beyond this a digest is cheaper than the news themselves */
#define GOSSIP_JUNK_MAX         1000u   /* runs nobody asked for, then the link is closed */
#define GOSSIP_STALL_MS         10000u  /* without any run of a link that owes some */
#define GOSSIP_FLIGHT_MAX_MS    120000u /* without a run of one want, however busy the link */
#define GOSSIP_COMPARE_MS       5000u   /* a comparison without an answer is begun again */
#define GOSSIP_RECHECK_MS       30000u  /* frontiers that still differ are compared again */
#define GOSSIP_ASK_MS           250u    /* a question that merge could not answer is asked again */
#define GOSSIP_NEWS_MS          20u     /* least time between two news on one link */
#define GOSSIP_GRUDGE_MS        1000u   /* first pause after a failure; doubles each time */
#define GOSSIP_GRUDGE_MAX_MS    600000u

/* ---- erasure ---- */
#define ERASE_KEEP_MS     (30ull * 86400 * 1000) /* from the hour an author's erasure is heard of until the bytes go */
#define ERASE_WAITING_MAX 65536u /* remembered erasures of what is not here yet; more are looked at again at the next start */
#define TAILS_MISSING_MAX 4096u  /* events without tail that are wanted at a time */

/* ---- the log as one file, its rows in memory ---- */
#define FILE_ROWS_MAX_BYTES    (256u << 20) /* as much memory; a node with more has the disk for LMDB */
#define FILE_COMMIT_MAX_BYTES  (64u << 20)  /* keys, and values, of one commit: a full group and its indexes */
#define FILE_COMPACT_MIN_BYTES (4u << 20)   /* a smaller file is not worth it */

/* ---- the radio ---- */
#define RADIO_FRAME_MAX_BYTES 254u /* more would be split by an RNode, and a half lost is a whole lost */
#define RADIO_HEADER_BYTES    8u
#define RADIO_TAG_BYTES       6u
#define RADIO_PLAIN_MAX_BYTES (RADIO_FRAME_MAX_BYTES - RADIO_HEADER_BYTES - RADIO_TAG_BYTES)
#define RADIO_PLAIN_MIN_BYTES 100u    /* a modem that takes less is of no use: a seal, a header and a few bytes */
#define RADIO_ENTRIES_MAX     96u     /* feeds in one beacon or want: what a frame holds of the shortest */
#define RADIO_PARTS_MAX       16u     /* frames of one run: 3.6 KB; what is larger waits for LAN or a stick */
#define RADIO_BLOCK_EVENTS    128u    /* the codec's history begins at a block of so many: the one before the run's */
#define RADIO_HISTORY_EVENTS_MAX 256u /* at most two such blocks, */
#define RADIO_HISTORY_BYTES   131072u /* and so many bytes of bodies: what one frame may make a receiver read and model */
#define RADIO_PRIME_BYTES     16384u  /* of another feed, before the history of one that is short */
#define RADIO_STATES_MAX      5u      /* codec states kept; with the one that works 28 MB */
#define RADIO_FEEDS_MAX       8192u   /* feeds heard of on the air, held or not */
#define RADIO_PARKED_MAX      64u     /* runs heard that cannot be read yet */
#define RADIO_HALVES_MAX      8u      /* runs of which some parts were heard */
#define RADIO_STATIONS_MAX    256u    /* members whose wants are counted */
#define RADIO_WANTS_HOUR      240u    /* entries of one member's wants that are answered in an hour … */
#define RADIO_WANTS_AT_ONCE   64u     /* … and in one go */
#define REPLAY_TAGS_MAX       262144u /* of control frames: ten radios with 20 an hour for seven weeks; 4 MiB */
#define REPLAY_SOURCES_MAX    1024u   /* radios whose counters are remembered */
#define RADIO_OVERLAP_MS      (24ull * 3600 * 1000) /* a new radio key waits so long: it may travel by radio under the old one */
#define RADIO_LOG_ROWS        512u /* newest things that happened on the air, in memory */
#define RADIO_HEARD_MAX       64u  /* frames between two looks at a modem */
#define LEDGER_FILE_MAX_BYTES (4u << 20) /* airtime records; then they are written anew */
#define LEDGER_WALL_ERROR_MS  60000u  /* a clock on the wall that is vouched for is no further off than this */

/* ---- modems ---- */
#define KISS_FRAME_MAX_BYTES    1100u  /* the longest a modem says: an RNode's picture of its display */
#define LINE_CONNECT_MS         5000   /* to a modem on TCP */
#define DRIVER_OUTPUT_MAX_BYTES 4096u  /* for a modem that does not read */
#define DRIVER_PAUSE_MS         1000u  /* before a line is opened again; doubles each time */
#define DRIVER_PAUSE_MAX_MS     30000u
#define DRIVER_STEADY_MS        60000u /* ready for so long: the next pause is the short one again */

/* ---- folding a stream ---- */
#define ARENA_KEEP_BYTES        (1u << 20) /* memory a folder keeps between two streams */
#define RECORD_CREATES_COMPARED 64u        /* creates of one record whose order is worked out for collisions */

/* ---- what people import, type and exchange as text ---- */
#define CSV_ROW_MAX_BYTES     61440u /* all cells of a row: with its field names it must fit one event */
#define CSV_CELL_MAX_BYTES    49152u
#define CSV_CELLS_MAX         2048u   /* columns */
#define FIELD_MAX_BYTES       512u    /* a field's name: survey tools put whole questions there */
#define JSON_TEXT_MAX_BYTES   262144u /* text of one value; escapes make it longer than the event it becomes */
#define TOKEN_TEXT_MAX_BYTES  2048u
#define TOKEN_ADDRESSES_MAX   4u
#define TOKEN_RADIO_MAX_BYTES 128u

_Static_assert(SEAL_MAX_BYTES >= EVENT_MAX_BYTES, "one largest event fits between two seals");
_Static_assert(RUN_MAX_BYTES >= 2 * SEAL_MAX_BYTES,
               "a run holds at least one whole sealed stretch");
_Static_assert(MESSAGE_MAX_BYTES >= 2 * RUN_MAX_BYTES, "a message holds a run and its envelope");
_Static_assert(MESSAGE_MAX_BYTES >= BATCH_MAX_BYTES + BATCH_MAX_EVENTS * 512u, "a batch fits");

#endif
