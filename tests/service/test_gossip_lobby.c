/* The gossip process's lobby: joining by token, and what those who are no members may do. */
#include "gossip/curve.h"
#include "gossip/join_core.h"
#include "shell/clock.h"
#include "tests/service/gossip_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <zmq.h>

TestSuite(gossip_lobby, .init = node_start, .fini = node_stop, .timeout = 120);

static void open_lobby(gossip_peer *p)
{
    uint8_t secret[TRANSPORT_KEY_BYTES];
    transport_key lobby;
    join_lobby_secret(secret, &r.home.dataset);
    curve_public(&lobby, secret);
    peer_connect(p, lobby_address, &lobby);
}

Test(gossip_lobby, the_lobby_says_who_lives_here)
{
    whois_reply m;
    open_lobby(&stranger);
    peer_say(&stranger, &whois_request_desc, &(whois_request){0});
    peer_hear(&stranger, &whois_reply_desc, &m);
    cr_assert_eq(m.member, 1u);
    cr_assert_eq(memcmp(m.transport.b, node_key.b, sizeof node_key.b), 0);
    /* A message that is none of the lobby's is answered in words. */
    peer_say(&stranger, &peers_request_desc, &(peers_request){0});
    cr_assert_eq(peer_answer(&stranger, &peers_reply_desc, &m), ERR_UNKNOWN_TYPE);
}

Test(gossip_lobby, the_lobby_is_bounded)
{
    whois_reply m;
    unsigned busy = 0;
    open_lobby(&stranger);
    for (int i = 0; i < 200; i++) {
        peer_say(&stranger, &whois_request_desc, &(whois_request){0});
        busy += peer_answer(&stranger, &whois_reply_desc, &m) == ERR_BUSY;
    }
    cr_assert(busy > 50, "%u of 200 were put off", busy);
    node_link_friend();
}

static void invite(uint32_t uses, bool confirm, token *t)
{
    char why[ERROR_TEXT_MAX_BYTES];
    invite_reply reply;
    invite_request req = {.name = bytes_str("field"),
                          .role = 2,
                          .uses = uses,
                          .valid_ms = 3600000,
                          .confirm = confirm};
    rig_ask(&r, &invite_request_desc, &req, &reply);
    cr_assert_eq(token_decode(reply.token, t, why), ERR_OK, "%s", why);
    cr_assert_eq(memcmp(t->dataset.b, r.home.dataset.b, sizeof t->dataset.b), 0);
    cr_assert_eq(memcmp(t->transport.b, node_key.b, sizeof node_key.b), 0);
    cr_assert_eq(t->n_addresses, 1u);
    cr_assert_str_eq(t->addresses[0], lobby_address);
}

static err_t join(gossip_peer *p, const token *t, uint8_t who, join_answer *answer, buf *room)
{
    uint8_t seed[MEMBER_SEED_BYTES] = {who}, nonce[CRYPTO_NONCE_BYTES], id[JOIN_INVITE_BYTES],
            message[JOIN_PROOF_MAX];
    crypto_signer signer;
    join_reply reply;
    buf sealed;
    crypto_signer_from_seed(&signer, seed);
    join_ask ask = {.node = bytes_str("tablet"), .key = signer.public, .transport = p->key};
    size_t n = join_proof_message(message, &t->dataset, &p->key);
    cr_assert_eq(crypto_sign_message(&ask.proof, &signer, bytes_of(message, n)), ERR_OK);
    random_fill(nonce, sizeof nonce);
    join_invite_id(id, t->secret);
    buf_init(&sealed, 4096);
    cr_assert_eq(join_seal(t->secret, &t->dataset, nonce, &join_ask_desc, &ask, &sealed), ERR_OK);
    peer_say(p, &join_request_desc,
             &(join_request){.invite = bytes_of(id, sizeof id), .sealed = buf_view(&sealed)});
    buf_release(&sealed);
    err_t e = peer_answer(p, &join_reply_desc, &reply);
    if (e == ERR_OK)
        e = join_open(t->secret, &t->dataset, &join_answer_desc, reply.sealed, room, answer);
    return e;
}

Test(gossip_lobby, a_token_enrols_and_the_joiner_may_connect)
{
    token t;
    join_answer answer;
    intro_row intro;
    buf room;
    buf_init(&room, 65536);
    invite(1, false, &t);
    open_lobby(&stranger);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK);
    cr_assert_eq(answer.number, 3u);
    cr_assert(bytes_is(answer.name, "field") && bytes_is(answer.title, "test") &&
              answer.genesis.len > 0);
    cr_assert(msg_list_next(&intro_row_desc, &answer.intros, &intro));
    cr_assert(intro.member == 1 && bytes_is(intro.address, member_address));
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK, "the answer was lost");
    cr_assert_eq(answer.number, 3u);
    cr_assert_eq(fake_merge_members(merge), 3u);
    cr_assert_eq(join(&stranger, &t, 2, &answer, &room), ERR_USED);
    do
        peer_connect(&stranger, member_address, &node_key);
    while (peer_await(&stranger, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) !=
           ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    peer_greet(&stranger, 3, 9);
    buf_release(&room);
}

Test(gossip_lobby, a_joiner_waits_until_somebody_confirms)
{
    token t;
    join_answer answer;
    pending_reply pending;
    pending_row row;
    char code[16];
    buf room;
    buf_init(&room, 65536);
    invite(1, true, &t);
    open_lobby(&stranger);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_BUSY);
    rig_ask(&r, &pending_request_desc, &(pending_request){.wait_ms = 10000}, &pending);
    cr_assert(msg_list_next(&pending_row_desc, &pending.joins, &row));
    cr_assert(bytes_is(row.state, "waiting") && row.code.len == 6);
    snprintf(code, sizeof code, "%.*s", (int)row.code.len, (const char *)row.code.p);
    rig_ask_fails(&r, &confirm_request_desc,
                  &(confirm_request){.code = bytes_str("nobody"), .accept = true}, ERR_NOT_FOUND,
                  NULL);
    rig_ask(&r, &confirm_request_desc, &(confirm_request){.code = bytes_str(code), .accept = true},
            &(ok_reply){0});
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK);
    cr_assert(bytes_is(answer.code, code));
    buf_release(&room);
}

Test(gossip_lobby, an_invitation_outlives_a_kill)
{
    token t;
    join_answer answer;
    buf room;
    buf_init(&room, 65536);
    invite(2, false, &t);
    open_lobby(&stranger);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK);
    peer_leave(&stranger);
    rig_kill(&r);
    rig_start(&r);
    node_await_ready();
    node_find_port(); /* a free one was chosen again */
    open_lobby(&stranger);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK);
    cr_assert_eq(answer.number, 3u);
    cr_assert_eq(join(&stranger, &t, 2, &answer, &room), ERR_OK);
    cr_assert_eq(answer.number, 4u);
    cr_assert(bytes_is(answer.name, "field-2"));
    cr_assert_eq(join(&stranger, &t, 3, &answer, &room), ERR_USED);
    buf_release(&room);
}

Test(gossip_lobby, what_merge_refuses_is_told_to_the_joiner)
{
    token t;
    join_answer answer;
    buf room;
    buf_init(&room, 65536);
    invite(1, false, &t);
    open_lobby(&stranger);
    fake_merge_refuse_adds(merge, ERR_FULL);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_FULL);
    fake_merge_refuse_adds(merge, ERR_OK);
    cr_assert_eq(join(&stranger, &t, 1, &answer, &room), ERR_OK,
                 "the token is not used up by a failure");
    buf_release(&room);
}

Test(gossip_lobby, only_founder_and_coordinators_invite)
{
    invite_request req = {.name = bytes_str("x"), .role = 2, .uses = 1, .valid_ms = 3600000};
    _Alignas(max_align_t) uint8_t reply[1024];
    buf text;
    buf_init(&text, 512);
    fake_merge_member(merge, 1, "camp", 2, &node_key, 0);
    uint64_t until = clock_mono().ms + RIG_MS;
    err_t e = ERR_OK;
    while (e == ERR_OK && clock_mono().ms < until) /* until it has heard of its new role */
        e = clnt_call(r.clnt, &invite_request_desc, &req, RIG_MS, reply, &text);
    cr_assert_eq(e, ERR_FORBIDDEN);
    buf_release(&text);
}

Test(gossip_lobby, a_run_from_a_stranger_is_offered_to_merge)
{
    ingest_reply m;
    buf sent;
    node_make_run(&sent, 2, 3);
    open_lobby(&stranger);
    peer_say(&stranger, &lobby_run_request_desc, &(lobby_run_request){.run = buf_view(&sent)});
    peer_hear(&stranger, &ingest_reply_desc, &m);
    cr_assert_eq(m.accepted, 3u);
    buf_release(&sent);
}
