/* The gossip process: gossip_core with sockets. Shared by its files only.
 *
 *   dispatch.c    what it answers on this machine, start, tick, health
 *   neighbours.c  store and merge: carries out the core's questions, keeps the roster
 *   links.c       links between members over TCP: greeting, messages, end; links_out.c those opened here
 *   listen.c      the member socket, the lobby socket, the ZAP handler
 *   dial.c        addresses: whom to connect to, when to try again
 *   lobby.c       joining, whois, runs from strangers
 *   discover.c    UDP beacons
 *   radio.c       the bridge of a radio: what it sends next, what it heard
 *   keep.c        what survives a restart: HOME/gossip/state, intros */
#ifndef CAIRN_GOSSIP_SHELL_H
#define CAIRN_GOSSIP_SHELL_H

#include "gossip/curve.h"
#include "gossip/gossip_core.h"
#include "gossip/invite_core.h"
#include "gossip/zap.h"
#include "pure/roster_event.h"
#include "shell/clock.h"
#include "shell/service.h"

enum {
    COUNT_LINKS,
    COUNT_MESSAGES_SENT,
    COUNT_MESSAGES_RECEIVED,
    COUNT_BYTES_SENT,
    COUNT_BYTES_RECEIVED,
    COUNT_RUNS_SENT,
    COUNT_RUNS_RECEIVED,
    COUNT_RUNS_UNWANTED,
    COUNT_RUNS_REFUSED,
    COUNT_EVENTS_ACCEPTED,
    COUNT_EVENTS_REPEATED,
    COUNT_STALLS,
    COUNT_STRANGERS,
    COUNT_MALFORMED,
    COUNT_LOBBY_REQUESTS,
    COUNT_LOBBY_REFUSED,
    COUNT_JOINED,
    COUNT_BEACONS_SENT,
    COUNT_BEACONS_HEARD,
    COUNT_RADIO_FRAMES,
    COUNT_RADIO_HEARD,
    COUNT_RADIO_EVENTS,
    COUNTERS
};

/* A live member of the roster, or somebody introduced. */
typedef struct {
    member_no number;
    uint8_t role;
    transport_key transport;
    member_key key;
    char name[NAME_MAX_BYTES + 1];
} member_entry;

/* ---- links ---- */
typedef enum { LINK_FREE, LINK_GREETING, LINK_UP } link_state;
typedef struct {
    link_state state;
    uint32_t id;
    bool out;               /* ours: `socket` is a DEALER of its own */
    void *socket, *monitor; /* of an outgoing link */
    bus_route route;        /* of an incoming one, on the member socket */
    int fd;                 /* of an incoming one, to cut it; see links.c */
    char fd_peer[64];       /* who was at the other end of that fd then */
    size_t dial;            /* 1 + row in dials, 0 for none */
    transport_key key;
    member_no member;
    char name[NAME_MAX_BYTES + 1], address[ADDRESS_MAX_BYTES + 1];
    uint64_t nonce;
    mono_ms since, heard, said;
    wall_ms heard_wall;
    uint64_t sent_bytes, received_bytes;
} lan_link;

/* ---- addresses ---- */
typedef enum { DIAL_GIVEN, DIAL_REMEMBERED, DIAL_BEACON, DIAL_INTRO } dial_source;
typedef enum { DIAL_IDLE, DIAL_ASKING, DIAL_LINKED } dial_state;
#define DIALS_MAX (2 * PEERS_MAX)
typedef struct {
    char address[ADDRESS_MAX_BYTES + 1]; /* host:port of the member socket; empty: free row */
    dial_source source;
    dial_state state;
    transport_key key;
    member_no member;
    bool has_key;
    void *socket; /* asks the lobby who is there */
    mono_ms next, deadline;
    uint32_t attempts;
    wall_ms last_ok;
    char error[ERROR_TEXT_MAX_BYTES];
} dial_row;

/* A member that connected and was turned away in words (another version …), for status. */
#define REFUSED_MAX 16u
typedef struct {
    transport_key key;
    member_no member;
    char name[NAME_MAX_BYTES + 1], address[64], why[ERROR_TEXT_MAX_BYTES];
    wall_ms at;
} refused_row;

/* ---- the lobby ---- */
#define LOBBY_CALLS_MAX 64u
struct gossip_shell;
typedef struct {
    bool used;
    struct gossip_shell *g;
    bus_route route;
    uint64_t request;
    uint8_t secret[TOKEN_SECRET_BYTES];
    member_key key;
} lobby_call;

#define PENDING_MAX 16u
typedef struct {
    service_call call;
    uint64_t since_ms;
    mono_ms until;
} pending_wait;

typedef struct radio_shell radio_shell;

typedef struct gossip_shell {
    service *s;
    gossip_core *core;
    clnt *store, *merge;
    uint8_t secret[TRANSPORT_KEY_BYTES];
    transport_key public;
    uint64_t nonce;
    /* roster */
    member_no self;
    char name[NAME_MAX_BYTES + 1], title[TITLE_MAX_BYTES + 1];
    uint8_t role;
    member_entry *members; /* live ones, by number */
    size_t n_members;
    uint64_t roster_version, writers_hash, frontier_version;
    bool roster_known; /* merge has told it, and this node is in it */
    bool wrong_key;    /* the roster has another transport key for this node */
    bool merge_answers, asking_members;
    mono_ms members_next, members_asked, bell_next, bell_asked;
    intro_row intros[JOIN_INTROS_MAX];
    size_t n_intros;
    buf intros_file, genesis;
    bool asking_genesis;
    mono_ms genesis_next;
    /* sockets */
    void *zap, *router, *lobby;
    char listen_host[ADDRESS_MAX_BYTES + 1], listen_error[ERROR_TEXT_MAX_BYTES];
    uint16_t port; /* where members connect, 0 while not bound; the lobby is one higher */
    uint16_t wish; /* port to bind, 0 for any */
    mono_ms listen_next, links_next;
    lan_link links[PEERS_MAX];
    uint32_t next_link;
    dial_row dials[DIALS_MAX];
    refused_row refused[REFUSED_MAX];
    size_t n_refused;
    /* lobby */
    invite_book *book;
    lobby_call calls[LOBBY_CALLS_MAX];
    pending_wait waiting[PENDING_MAX];
    size_t n_waiting;
    uint64_t joins_changed_ms;
    double tokens; /* requests that the lobby may still serve: a token bucket */
    mono_ms tokens_at;
    double handshakes;
    mono_ms handshakes_at;
    /* discovery */
    int beacon_fd;
    bool discovery;
    mono_ms beacon_next;
    bool dirty; /* the state file is behind */
    gossip_counts counted;
    radio_shell *radio; /* NULL until a bridge has asked */
} gossip_shell;

/* ---- dispatch.c ---- */
extern const service_def gossip_def;
/* Answers pending_request calls that now have something to tell, or have waited long enough. */
void joins_tell(gossip_shell *g, mono_ms now);

/* ---- camp_enrol.c ---- */
err_t gossip_enrol(service *s, buf *why);

/* ---- neighbours.c ---- */
bool neighbours_open(gossip_shell *g);
/* Carries out what the core wants done. */
void neighbours_pump(gossip_shell *g);
void neighbours_tick(gossip_shell *g, mono_ms now);
void neighbours_rung(void *self, uint64_t head);
const member_entry *member_by_key(const gossip_shell *g, const transport_key *key);
const member_entry *member_by_number(const gossip_shell *g, member_no number);
/* Number of who may connect with this key: a live member, this node's own clone, or, until the roster is known,
 * somebody introduced. 0: nobody. */
member_no key_belongs_to(const gossip_shell *g, const transport_key *key);
/* Does the key's owner say his own number? A successor whose own number was cut off is let in as the founder and says it
 * all the same. */
static inline bool key_may_be(member_no owner, member_no says)
{
    return owner == says || owner == ROSTER_FOUNDER_NUMBER;
}

/* ---- links.c ---- */
/* Opens a link to a member known to be at `address`. NULL (and words in *error of the dial row) when it cannot. */
lan_link *link_dial(gossip_shell *g, size_t dial, const transport_key *key, const char *address);
void links_serve_router(service *s, void *self);
void links_tick(gossip_shell *g, mono_ms now);
/* A link of the core's number; NULL when it is gone. */
lan_link *link_by_id(gossip_shell *g, uint32_t id);
void link_send(gossip_shell *g, lan_link *l, const msg_desc *desc, bytes body);
/* Says why, then ends it. */
void link_bye(gossip_shell *g, lan_link *l, err_t why, const char *text);
/* Ends it without a word; `error` (may be NULL) is for status. */
void link_close(gossip_shell *g, lan_link *l, const char *error);
/* Links whose key belongs to nobody any more are cut at once. */
void links_check(gossip_shell *g);
bool link_exists(const gossip_shell *g, const transport_key *key);
void links_free(gossip_shell *g);
/* For links_out.c. */
#define LINK_QUEUE_MESSAGES 16 /* on one link; a run has up to GOSSIP_RUN_BYTES and a stretch */
lan_link *link_free_row(gossip_shell *g);
uint32_t link_new_id(gossip_shell *g);
err_t link_say_hello(gossip_shell *g, lan_link *l) CAIRN_CHECK;
/* A message has come; the link may be gone afterwards. */
void link_heard(gossip_shell *g, lan_link *l, const bus_frame *f);
/* Something that is no message has come, on `l` or (NULL) from nobody known. */
void link_garbage(gossip_shell *g, lan_link *l);

/* ---- listen.c ---- */
bool listen_parse(gossip_shell *g, const char *text);
bool listen_zap(gossip_shell *g);
void listen_tick(gossip_shell *g, mono_ms now);
void listen_close(gossip_shell *g);
/* Addresses under which this node may be reached, "host:port" with `port_add` added to the port: those configured,
 * else the one listened on, else those of the network cards. Returns their number. */
size_t listen_addresses(const gossip_shell *g, unsigned port_add, char out[][ADDRESS_MAX_BYTES + 1],
                        size_t max);

/* ---- dial.c ---- */
/* Adds or finds an address; NULL when the table is full of better ones. */
dial_row *dial_add(gossip_shell *g, const char *address, dial_source source);
bool dial_address_ok(bytes address);
/* A member's address and key are known without asking. */
void dial_learnt(gossip_shell *g, const char *address, member_no member, const transport_key *key,
                 dial_source source);
void dial_now(gossip_shell *g, dial_row *d);
void dial_tick(gossip_shell *g, mono_ms now);
/* The link of this row is up, or has ended. */
void dial_up(gossip_shell *g, size_t dial, member_no member);
void dial_failed(gossip_shell *g, size_t dial, const char *error);
/* When the owner of this key was heard last. */
void dial_heard(gossip_shell *g, const transport_key *key, wall_ms at);
void dial_free(gossip_shell *g);

/* ---- radio.c ---- */
#define RADIO_PEER_ROWS 64u
void radio_on_next(service *s, void *self, const service_call *call, const void *msg);
void radio_on_sent(service *s, void *self, const service_call *call, const void *msg);
void radio_on_heard(service *s, void *self, const service_call *call, const void *msg);
void radio_turn(gossip_shell *g);
void radio_end(gossip_shell *g);
/* Rows of the members heard on the radio; their text holds until the next call. */
size_t radio_peers(const gossip_shell *g, peer_row *rows, size_t max, mono_ms now);

/* ---- lobby.c ---- */
void lobby_serve(service *s, void *self);
bool lobby_admits(gossip_shell *g);

/* ---- discover.c ---- */
void discover_open(gossip_shell *g);
void discover_tick(gossip_shell *g, mono_ms now);
void discover_close(gossip_shell *g);

/* ---- keep.c ---- */
err_t keep_load(gossip_shell *g, buf *why) CAIRN_CHECK;
/* Writes the state file if it is behind. */
err_t keep_save(gossip_shell *g) CAIRN_CHECK;

#endif
