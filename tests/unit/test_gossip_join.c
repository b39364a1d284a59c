/* Joining without a network: who is let in, who is not and what it is told, and what is remembered. */
#include "gossip/invite_core.h"
#include "prop.h"

#include <criterion/criterion.h>

#define NOW_MS 1800000000000ull

static const dataset_id dataset = {{7}};
static const transport_key inviter = {{9}};
static invite_book *book;

static void start(void)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    book = calloc(1, sizeof *book);
    cr_assert(book != NULL);
}

static void stop(void)
{
    free(book);
}

TestSuite(gossip_join, .init = start, .fini = stop);

/* A machine that wants to join, with the request it sends. */
typedef struct {
    crypto_signer signer;
    transport_key transport;
    buf sealed;
    uint8_t id[JOIN_INVITE_BYTES];
} joiner;

static void prepare(joiner *j, uint8_t who, const uint8_t secret[TOKEN_SECRET_BYTES])
{
    uint8_t seed[MEMBER_SEED_BYTES] = {who}, nonce[CRYPTO_NONCE_BYTES] = {who},
            message[JOIN_PROOF_MAX];
    crypto_signer_from_seed(&j->signer, seed);
    j->transport = (transport_key){{who}};
    join_ask ask = {
        .node = bytes_str("tablet"), .key = j->signer.public, .transport = j->transport};
    size_t n = join_proof_message(message, &dataset, &j->transport);
    cr_assert_eq(crypto_sign_message(&ask.proof, &j->signer, bytes_of(message, n)), ERR_OK);
    buf_init(&j->sealed, 4096);
    cr_assert_eq(join_seal(secret, &dataset, nonce, &join_ask_desc, &ask, &j->sealed), ERR_OK);
    join_invite_id(j->id, secret);
}

static err_t ask(joiner *j, uint64_t now_ms, join_row **row, buf *why)
{
    join_request req = {.invite = bytes_of(j->id, sizeof j->id), .sealed = buf_view(&j->sealed)};
    buf_clear(why);
    return invite_judge(book, &dataset, &inviter, &req, now_ms, row, why);
}

static invite_row invitation(uint8_t secret, uint32_t uses)
{
    return (invite_row){
        .secret = {secret}, .name = "field", .role = 2, .uses = uses, .expires_ms = NOW_MS + 1000};
}

Test(gossip_join, a_token_lets_one_machine_in_once_and_the_same_machine_again)
{
    invite_row invite = invitation(1, 1);
    joiner a, b;
    join_row *row;
    buf why;
    buf_init(&why, 512);
    prepare(&a, 1, invite.secret);
    prepare(&b, 2, invite.secret);
    cr_assert_eq(invite_add(book, &invite, NOW_MS), ERR_OK);
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_OK);
    cr_assert_str_eq(row->name, "field");
    cr_assert_eq(memcmp(row->transport.b, a.transport.b, 32), 0);
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_OK, "the answer was lost before it was enrolled");
    invite_joined(book, row, 5, NOW_MS);
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_EXISTS);
    cr_assert_eq(row->number, 5u);
    cr_assert_eq(ask(&a, NOW_MS + 5000, &row, &why), ERR_EXISTS,
                 "also after the token has expired");
    cr_assert_eq(ask(&b, NOW_MS, &row, &why), ERR_USED);
    cr_assert(row == NULL && why.len > 10);
    cr_assert_eq(book->n_joins, 1u);
    buf_release(&a.sealed);
    buf_release(&b.sealed);
    buf_release(&why);
}

Test(gossip_join, each_refusal_has_its_own_reason)
{
    invite_row invite = invitation(1, 1), other = invitation(2, 1);
    joiner a, stranger;
    join_row *row;
    buf why;
    buf_init(&why, 512);
    prepare(&a, 1, invite.secret);
    prepare(&stranger, 2, other.secret);
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_NOT_FOUND);
    cr_assert_eq(invite_add(book, &invite, NOW_MS), ERR_OK);
    cr_assert_eq(ask(&a, NOW_MS + 1000, &row, &why), ERR_EXPIRED);
    memcpy(stranger.id, a.id, sizeof a.id);
    cr_assert_eq(ask(&stranger, NOW_MS, &row, &why), ERR_CHECKSUM, "knows the id, not the secret");
    a.sealed.p[a.sealed.len - 1] ^= 1;
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_CHECKSUM);
    a.sealed.len = 10;
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_CHECKSUM);
    cr_assert_eq(book->n_joins, 0u);
    buf_release(&a.sealed);
    buf_release(&stranger.sealed);
    buf_release(&why);
}

Test(gossip_join, a_key_that_is_not_ones_own_is_refused)
{
    invite_row invite = invitation(1, 1);
    uint8_t nonce[CRYPTO_NONCE_BYTES] = {3};
    joiner thief;
    join_row *row;
    buf why;
    buf_init(&why, 512);
    prepare(&thief, 1, invite.secret);
    join_ask forged = {.node = bytes_str("x"), .key = {{42}}, .transport = thief.transport};
    buf_clear(&thief.sealed);
    cr_assert_eq(join_seal(invite.secret, &dataset, nonce, &join_ask_desc, &forged, &thief.sealed),
                 ERR_OK);
    cr_assert_eq(invite_add(book, &invite, NOW_MS), ERR_OK);
    cr_assert_eq(ask(&thief, NOW_MS, &row, &why), ERR_BAD_SEAL);
    buf_release(&thief.sealed);
    buf_release(&why);
}

Test(gossip_join, somebody_has_to_confirm)
{
    invite_row invite = invitation(1, 2);
    joiner a, b;
    join_row *row;
    char code[JOIN_CODE_BYTES];
    buf why;
    buf_init(&why, 512);
    invite.confirm = true;
    prepare(&a, 1, invite.secret);
    prepare(&b, 2, invite.secret);
    cr_assert_eq(invite_add(book, &invite, NOW_MS), ERR_OK);
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_BUSY);
    gossip_confirm_code(code, invite.secret, &a.signer.public, &inviter);
    cr_assert_str_eq(row->code, code);
    cr_assert_str_eq(row->name, "tablet");
    cr_assert(invite_by_code(book, bytes_str(code)) == row);
    row->state = JOIN_ACCEPTED;
    cr_assert_eq(ask(&a, NOW_MS, &row, &why), ERR_OK);
    invite_joined(book, row, 2, NOW_MS);
    cr_assert_eq(ask(&b, NOW_MS, &row, &why), ERR_BUSY);
    row->state = JOIN_REFUSED;
    cr_assert_eq(ask(&b, NOW_MS, &row, &why), ERR_FORBIDDEN);
    buf_release(&a.sealed);
    buf_release(&b.sealed);
    buf_release(&why);
}

Test(gossip_join, several_uses_get_numbered_names_that_fit)
{
    static const char *const expected[] = {"field-1", "field-2", "field-3"};
    invite_row invite = invitation(1, 3), longest = invitation(2, 1000);
    join_row *row;
    buf why;
    buf_init(&why, 512);
    cr_assert_eq(invite_add(book, &invite, NOW_MS), ERR_OK);
    for (uint8_t i = 0; i < 3; i++) {
        joiner j;
        prepare(&j, (uint8_t)(i + 1), invite.secret);
        cr_assert_eq(ask(&j, NOW_MS, &row, &why), ERR_OK);
        cr_assert_str_eq(row->name, expected[i]);
        invite_joined(book, row, (member_no)(i + 2), NOW_MS);
        buf_release(&j.sealed);
    }
    for (size_t i = 0; i + 1 < NAME_MAX_BYTES; i += 2)
        memcpy(longest.name + i, "\xc3\xa9", 2);
    longest.used = 998;
    cr_assert_eq(invite_add(book, &longest, NOW_MS), ERR_OK);
    joiner j;
    prepare(&j, 9, longest.secret);
    cr_assert_eq(ask(&j, NOW_MS, &row, &why), ERR_OK);
    cr_assert(strlen(row->name) <= NAME_MAX_BYTES && utf8_valid(bytes_str(row->name)));
    cr_assert_str_eq(row->name + strlen(row->name) - 4, "-999");
    buf_release(&j.sealed);
    buf_release(&why);
}

Test(gossip_join, the_book_survives_as_bytes_and_stays_bounded)
{
    prop_rng rng = prop_begin("book");
    buf first, second;
    invite_book *read = calloc(1, sizeof *read);
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    for (size_t i = 0; i < INVITES_MAX; i++) {
        invite_row row = invitation(0, 1 + (uint32_t)prop_below(&rng, 1000));
        put_u32be(row.secret, (uint32_t)i);
        cr_assert_eq(invite_add(book, &row, NOW_MS), ERR_OK);
    }
    invite_row more = invitation(255, 1);
    cr_assert_eq(invite_add(book, &more, NOW_MS), ERR_TOO_LARGE);
    for (size_t i = 0; i < JOINS_MAX; i++)
        book->joins[book->n_joins++] = (join_row){.key = {{(uint8_t)i}},
                                                  .name = "n",
                                                  .code = "abcdef",
                                                  .number = 3,
                                                  .at_ms = i,
                                                  .state = JOIN_JOINED};
    cr_assert_eq(invite_encode(book, &first), ERR_OK);
    mp_reader r = mp_reader_of(buf_view(&first));
    invite_decode(&r, read);
    cr_assert_eq(mp_done(&r), ERR_OK);
    cr_assert_eq(invite_encode(read, &second), ERR_OK);
    cr_assert(bytes_eq(buf_view(&first), buf_view(&second)));
    cr_assert_eq(read->n_invites, (size_t)INVITES_MAX);
    cr_assert_eq(memcmp(read->invites[9].id, book->invites[9].id, JOIN_INVITE_BYTES), 0);
    for (size_t cut = 0; cut < first.len; cut += 1 + prop_below(&rng, 97)) {
        *read = (invite_book){0};
        r = mp_reader_of(bytes_of(first.p, cut));
        invite_decode(&r, read);
        cr_assert_neq(mp_done(&r), ERR_OK);
        cr_assert_eq(read->n_invites, 0u);
    }
    /* A week after they expired they make room. */
    cr_assert_eq(invite_add(book, &more, NOW_MS + 8ull * 86400 * 1000), ERR_OK);
    cr_assert_eq(book->n_invites, 1u);
    free(read);
    buf_release(&first);
    buf_release(&second);
}

Test(gossip_join, an_ask_is_no_answer_and_another_dataset_is_another_key)
{
    uint8_t secret[TOKEN_SECRET_BYTES] = {1}, nonce[CRYPTO_NONCE_BYTES] = {2}, a[32], b[32];
    const dataset_id other = {{8}};
    join_answer answer = {.number = 3,
                          .name = bytes_str("n"),
                          .role = 2,
                          .title = bytes_str("t"),
                          .code = bytes_str("abcdef")},
                out;
    join_ask ask_out;
    buf sealed, room;
    buf_init(&sealed, 4096);
    buf_init(&room, 4096);
    cr_assert_eq(join_seal(secret, &dataset, nonce, &join_answer_desc, &answer, &sealed), ERR_OK);
    cr_assert_eq(join_open(secret, &dataset, &join_answer_desc, buf_view(&sealed), &room, &out),
                 ERR_OK);
    cr_assert_eq(out.number, 3u);
    cr_assert_eq(join_open(secret, &dataset, &join_ask_desc, buf_view(&sealed), &room, &ask_out),
                 ERR_BAD_SEAL);
    cr_assert_eq(join_open(secret, &other, &join_answer_desc, buf_view(&sealed), &room, &out),
                 ERR_BAD_SEAL);
    join_lobby_secret(a, &dataset);
    join_lobby_secret(b, &other);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
    buf_release(&sealed);
    buf_release(&room);
}

Test(gossip_join, introductions_come_back_and_rubbish_does_not)
{
    prop_rng rng = prop_begin("intros");
    intro_row rows[3] = {{.member = 1, .transport = {{1}}, .address = bytes_str("10.0.0.1:7117")},
                         {.member = 2, .transport = {{2}}, .address = bytes_str("")},
                         {.member = 3, .transport = {{3}}, .address = bytes_str("camp:7117")}};
    join_answer m = {.number = 9, .role = 2, .intros = MSG_LIST_OF(rows, 3)}, back;
    intro_row out[JOIN_INTROS_MAX];
    size_t n;
    buf wire, file;
    buf_init(&wire, 4096);
    buf_init(&file, 4096);
    cr_assert_eq(msg_encode(&join_answer_desc, &m, &wire), ERR_OK);
    cr_assert_eq(msg_decode(&join_answer_desc, buf_view(&wire), &back, NULL), ERR_OK);
    cr_assert_eq(join_intros_encode(back.intros, 2, bytes_str("10.0.0.2:7117"), &file), ERR_OK);
    cr_assert_eq(join_intros_decode(buf_view(&file), out, &n), ERR_OK);
    cr_assert_eq(n, 3u);
    cr_assert(bytes_is(out[1].address, "10.0.0.2:7117") && bytes_is(out[2].address, "camp:7117"));
    cr_assert_eq(memcmp(out[2].transport.b, rows[2].transport.b, 32), 0);
    for (size_t cut = 0; cut < file.len; cut++) {
        cr_assert_neq(join_intros_decode(bytes_of(file.p, cut), out, &n), ERR_OK);
        cr_assert_eq(n, 0u);
    }
    for (int i = 0; i < 2000; i++) {
        uint8_t noise[64];
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)prop_u64(&rng);
        (void)!join_intros_decode(bytes_of(noise, sizeof noise), out, &n);
    }
    buf_release(&wire);
    buf_release(&file);
}
