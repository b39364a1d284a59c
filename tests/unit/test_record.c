/* The record: each sentence of the fine print as a story, malformed input of every sort, large streams. */
#include "tale.h"

Test(record, an_edit_replaces_only_the_fields_it_writes)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1 b=2 c=3", "");
    tell(&t, 1, 20, "field.set", "a=5 d=6", "0");
    shows(&t, RECORD_FIELD, "a", "5");
    shows(&t, RECORD_FIELD, "b", "2");
    shows(&t, RECORD_FIELD, "d", "6");
    cr_assert_eq(t.s->conflicts, 0);
    cr_assert_eq(t.s->created, 0);
    cr_assert_eq(t.s->newest, 1);
    tale_end(&t);
}

Test(record, what_two_wrote_unseen_both_stays_until_one_edit_names_both)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 1, 20, "field.set", "a=2", "0");
    tell(&t, 2, 15, "field.set", "a=3", "0");
    shows(&t, RECORD_FIELD, "a", "2|3");
    cr_assert_eq(t.s->conflicts, 1);
    tell(&t, 3, 5, "field.set", "a=4", "1 2"); /* its clock is wrong, which does not matter */
    shows(&t, RECORD_FIELD, "a", "4");
    cr_assert_eq(t.s->conflicts, 0);
    cr_assert_eq(t.s->writes[t.s->events[1].first_write].replaced_by, 3);
    tale_end(&t);
}

Test(record, nothing_is_transitive)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 2, 20, "field.set", "a=2", "0");
    tell(&t, 3, 30, "field.set", "a=3", "1");
    shows(&t, RECORD_FIELD, "a", "3");
    t.ev[1].counts = false; /* its author was removed */
    shows(&t, RECORD_FIELD, "a", "3|1");
    const record_write *old = &t.s->writes[t.s->live[t.s->slots[1].first_live + 1]];
    cr_assert_eq(tale_index(&t, old->voided_by), 1); /* "value before the removed 2" */
    cr_assert_eq(t.s->n_counting, 2);
    tale_end(&t);
}

Test(record, equal_live_values_show_as_one_and_a_new_edit_names_them_all)
{
    tale t;
    event_ref refs[4];
    record_thing a = {RECORD_FIELD, bytes_str("a")};
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", ""); /* one file, imported at two nodes */
    tell(&t, 2, 20, "record.create", "a=1", "");
    tell(&t, 3, 15, "field.set", "a=9", "");
    shows(&t, RECORD_FIELD, "a", "1*2|9");
    cr_assert_eq(t.s->n_collisions, 0);
    cr_assert_eq(t.s->conflicts, 1);
    cr_assert_eq(record_live_refs(t.s, &a, 1, refs, 2),
                 3); /* says how many although only two fit */
    cr_assert_eq(record_live_refs(t.s, &a, 1, refs, 4), 3);
    cr_assert(refs[0].feed == 1 && refs[1].feed == 3 && refs[2].feed == 2);
    tell(&t, 3, 30, "field.set", "a=9", "0 1 2");
    shows(&t, RECORD_FIELD, "a", "9");
    tale_end(&t);
}

Test(record, a_reference_to_what_is_not_here_yet_means_nothing_until_it_comes)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 1, 20, "field.set", "a=2", "0");
    tell(&t, 1u | 1u << 16, 30, "field.set", "a=3", "1"); /* express: it may outrun number 1 */
    shows(&t, RECORD_FIELD, "a", "3");
    refs_event late = t.ev[1];
    t.ev[1] = t.ev[2];
    t.n = 2;
    shows(&t, RECORD_FIELD, "a", "3|1");
    t.ev[2] = late;
    t.n = 3;
    shows(&t, RECORD_FIELD, "a", "3");
    tale_end(&t);
}

Test(record, a_tag_is_on_while_an_add_lives)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "tag.add", "tag=urgent", "");
    tell(&t, 2, 20, "tag.add", "tag=urgent", "");
    shows(&t, RECORD_TAG, "urgent", "null*2");
    tell(&t, 1, 30, "tag.remove", "tag=urgent", "0"); /* it did not see the other one */
    shows(&t, RECORD_TAG, "urgent", "null");
    tell(&t, 3, 40, "tag.remove", "tag=other", "1"); /* another tag */
    shows(&t, RECORD_TAG, "urgent", "null");
    tell(&t, 3, 50, "tag.remove", "tag=urgent", "1 0");
    shows(&t, RECORD_TAG, "urgent", "");
    tale_end(&t);
}

Test(record, states_show_by_priority)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "state.set", "priority=5 state=blocked", "");
    tell(&t, 2, 20, "state.set", "state=done", "");
    tell(&t, 3, 30, "state.set", "priority=5 state=lost", "");
    shows(&t, RECORD_STATE, "state", "\"lost\"|\"blocked\"|\"done\"");
    cr_assert_eq(t.s->conflicts, 1);
    tell(&t, 1, 40, "state.set", "priority=-1 state=closed", "0 1 2");
    shows(&t, RECORD_STATE, "state", "\"closed\"");
    tell(&t, 1, 50, "state.set", "machine=door state=open", "3"); /* another machine */
    shows(&t, RECORD_STATE, "state", "\"closed\"");
    shows(&t, RECORD_STATE, "door", "\"open\"");
    tale_end(&t);
}

Test(record, what_gathers_is_replaced_by_deletes_only)
{
    tale t;
    tale_begin(&t, 16);
    tell(&t, 1, 10, "note.add", "text=hello", "");
    tell(&t, 2, 20, "note.add", "text=hello", "0");
    tell(&t, 1, 30, "set.add", "set=s value=1", "");
    tell(&t, 1, 40, "set.add", "set=s value=2", "2");
    tell(&t, 1, 50, "attachment.add", "hash=h", "");
    tell(&t, 1, 60, "attachment.add", "hash=h", "4");
    tell(&t, 1, 70, "counter.add", "counter=n delta=5", "");
    tell(&t, 2, 80, "counter.add", "counter=n delta=-7", "6");
    shows(&t, RECORD_NOTE, "", "\"hello\"|\"hello\"");
    shows(&t, RECORD_SET, "s", "2|1");
    shows(&t, RECORD_ATTACHMENT, "", "{\"hash\":\"h\"}*2");
    const record_slot *n = &t.s->slots[record_find(t.s, RECORD_COUNTER, bytes_str("n"))];
    cr_assert(n->plus == 5 && n->minus == 7);
    tell(&t, 3, 90, "record.delete", "", "0 2 4 6");
    shows(&t, RECORD_NOTE, "", "\"hello\"");
    shows(&t, RECORD_SET, "s", "2");
    n = &t.s->slots[record_find(t.s, RECORD_COUNTER, bytes_str("n"))];
    cr_assert(n->plus == 0 && n->minus == 7);
    tale_end(&t);
}

Test(record, counters_stop_at_their_ends)
{
    tale t;
    tale_begin(&t, 8);
    for (int i = 0; i < 3; i++) {
        tell(&t, 1, 10, "counter.add", "counter=n delta=9223372036854775807", "");
        tell(&t, 1, 10, "counter.add", "counter=n delta=-9223372036854775808", "");
    }
    tale_fold(&t);
    cr_assert_eq(t.s->slots[0].plus, UINT64_MAX);
    cr_assert_eq(t.s->slots[0].minus, UINT64_MAX);
    tale_end(&t);
}

Test(record, several_deletes_add_up_and_what_they_did_not_see_is_shown)
{
    tale t;
    event_ref refs[8];
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1 b=1", "");
    tell(&t, 2, 20, "field.set", "a=2", "0");
    tell(&t, 3, 30, "field.set", "b=3", "0");
    tell(&t, 1, 40, "record.delete", "", "0 1"); /* number 2 it never saw */
    shows(&t, RECORD_FIELD, "a", "");
    shows(&t, RECORD_FIELD, "b", "3");
    cr_assert(t.s->deleted && t.s->unseen == 1 && t.s->n_deletes == 1);
    tell(&t, 2, 50, "record.delete", "", "2");
    tale_fold(&t);
    cr_assert(t.s->deleted && t.s->unseen == 0 && t.s->n_deletes == 2);
    cr_assert_eq(tale_index(&t, t.s->deletes[0]), 4);
    record_thing record = {RECORD_EXISTENCE, bytes_of(NULL, 0)};
    cr_assert_eq(record_live_refs(t.s, &record, 1, refs, 8), 2);
    cr_assert_eq(record_all_live_refs(t.s, refs, 8), 2);
    tell(&t, 1, 60, "record.create", "a=9", "3 4"); /* back again */
    shows(&t, RECORD_FIELD, "a", "9");
    cr_assert(!t.s->deleted);
    tale_end(&t);
}

Test(record, two_unordered_unequal_creates_collide_until_somebody_has_seen_both)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 2, 20, "record.create", "a=2", "");
    tell(&t, 3, 30, "record.create", "a=1", "");
    tale_fold(&t);
    cr_assert_eq(t.s->n_collisions, 3);
    cr_assert_eq(t.s->conflicts, 2); /* the field and the name */
    tell(&t, 2, 40, "record.create", "a=3",
         ""); /* comes after its author's own, which is no collision */
    tell(&t, 1, 50, "field.set", "a=4", "1"); /* its author made 0 */
    tale_fold(&t);
    cr_assert_eq(t.s->n_collisions, 4); /* 1 with 2, 3 with 0 and 2 */
    tell(&t, 1, 60, "field.set", "a=5", "0 1 2 3 4");
    tale_fold(&t);
    cr_assert_eq(t.s->n_collisions, 0);
    cr_assert_eq(t.s->conflicts, 0);
    tale_end(&t);
}

Test(record, an_erased_write_lives_on_as_erased_with_and_without_its_tail)
{
    tale t;
    bytes keys[] = {bytes_str("name"), bytes_str("phone"), bytes_str("name")};
    buf with, without;
    buf_init(&with, 10000);
    buf_init(&without, 10000);
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "name=Ama phone=123 water=2", "");
    tell(&t, 2, 20, "field.set", "name=Esi", "0");
    tell(&t, 2, 30, "note.add", "text=calls-at-noon", "");
    t.ev[0].erased = t.ev[2].erased = true;
    t.ev[0].keys = keys;
    t.ev[0].n_keys = 3;
    shows(&t, RECORD_FIELD, "phone", "erased");
    shows(&t, RECORD_FIELD, "name", "\"Esi\""); /* the correction replaces it as before */
    shows(&t, RECORD_FIELD, "water", "");       /* hidden whole, not only what the keys name */
    shows(&t, RECORD_NOTE, "", "erased");
    tale_export(&t, &with);
    tale_cut_tail(&t, 0);
    tale_cut_tail(&t, 2);
    tale_export(&t, &without);
    cr_assert(bytes_eq(buf_view(&with), buf_view(&without)));
    buf_release(&with);
    buf_release(&without);
    tale_end(&t);
}

Test(record, an_erased_write_goes_on_replacing_for_its_keys_only)
{
    tale t;
    bytes keys[] = {bytes_str("b"), bytes_str("a")};
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1 b=1", "");
    tell(&t, 2, 20, "field.set", "a=2", "0");
    t.ev[1].erased = true;
    t.ev[1].keys = keys;
    t.ev[1].n_keys = 2;
    shows(&t, RECORD_FIELD, "a", "erased");
    shows(&t, RECORD_FIELD, "b", "1"); /* it never wrote b, whatever the erasure says */
    t.ev[1].n_keys = 0;
    shows(&t, RECORD_FIELD, "a", "1");
    tale_end(&t);
}

Test(record, a_tail_that_is_missing_without_an_erasure_writes_and_replaces_nothing)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 2, 20, "field.set", "a=2", "0");
    tell(&t, 2, 30, "record.delete", "", "0");
    tale_cut_tail(&t, 1);
    tale_cut_tail(&t, 2);
    shows(&t, RECORD_FIELD, "a", "1");
    cr_assert(!t.s->deleted);
    cr_assert_eq(t.s->n_anomalies, 2);
    cr_assert_eq(t.s->anomalies[0].code, RECORD_ANOMALY_TAIL);
    tale_end(&t);
}

Test(record, unknown_kinds_are_history_and_nothing_else)
{
    tale t;
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    tell(&t, 2, 20, "field.destroy", "a=2", "0");
    shows(&t, RECORD_FIELD, "a", "1");
    cr_assert_eq(t.s->n_events, 2);
    cr_assert_eq(t.s->events[1].kind, RECORD_KIND_UNKNOWN);
    cr_assert_eq(t.s->n_anomalies, 0);
    tale_end(&t);
}

Test(record, attributes_are_read_and_wrong_ones_are_anomalies)
{
    tale t;
    buf attributes;
    buf_init(&attributes, 1000);
    mp_put_map(&attributes, 4);
    mp_put_cstr(&attributes, "at");
    mp_put_int(&attributes, -5);
    mp_put_cstr(&attributes, "by");
    mp_put_cstr(&attributes, "Ama");
    mp_put_cstr(&attributes, "corr");
    mp_put_nil(&attributes);
    mp_put_cstr(&attributes, "why");
    mp_put_uint(&attributes, 3);
    tale_begin(&t, 8);
    tell(&t, 1, 10, "record.create", "a=1", "");
    t.views[0].attributes = buf_view(&attributes);
    shows(&t, RECORD_FIELD, "a", "1");
    cr_assert(t.s->events[0].has_at && t.s->events[0].at_ms == -5);
    cr_assert(bytes_is(t.s->events[0].by, "Ama"));
    cr_assert_eq(t.s->events[0].why.len, 0);
    cr_assert_eq(t.s->n_anomalies, 1);
    cr_assert(bytes_is(t.s->anomalies[0].detail, "why"));
    cr_assert(strlen(record_anomaly_text(t.s->anomalies[0].code)) > 0);
    buf_release(&attributes);
    tale_end(&t);
}

/* ---- malformed payloads ---- */

Test(record, malformed_payloads_are_anomalies_and_never_a_stop)
{
    static const char *const kinds[] = {"record.create",  "field.set",    "state.set",   "tag.add",
                                        "tag.remove",     "set.add",      "counter.add", "note.add",
                                        "attachment.add", "record.delete"};
    static const char *const odd[] = {"c0",
                                      "c3",
                                      "05",
                                      "e0",
                                      "a161",
                                      "c4020000",
                                      "90",
                                      "920102",
                                      "cb7ff8000000000000",
                                      "d40100",
                                      "80",
                                      "81a0c0",
                                      "81a16101",
                                      "81a3746167c0",
                                      "81a374616701",
                                      "81a374616790",
                                      "81a4746578740a",
                                      "81a57374617465c0",
                                      "82a7636f756e746572a161a564656c7461cb3ff0000000000000",
                                      "82a7636f756e746572a161a564656c7461cfffffffffffffffff",
                                      "82a7636f756e74657201a564656c746101",
                                      "81a37365749101",
                                      "82a373657480a576616c7565c0",
                                      "81a46861736801",
                                      "82a56669656c6401a468617368a161",
                                      "81a57374617465a161",
                                      "82a87072696f72697479a162a57374617465a163",
                                      "82a76d616368696e65c0a57374617465a163"};
    buf out;
    buf_init(&out, 100000);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t o = 0; o < sizeof odd / sizeof *odd; o++) {
            tale t;
            uint8_t raw[100];
            size_t n = strlen(odd[o]) / 2;
            uint32_t zero = 0;
            tale_begin(&t, 4);
            cr_assert(hex_decode(raw, n, odd[o], 2 * n));
            tell(&t, 1, 10, "record.create", "kept=1", "");
            tale_raw(&t, 2, 20, kinds[k], bytes_of(raw, n), &zero, k < 9);
            tell(&t, 1, 30, "field.set", "after=2", "");
            shows(&t, RECORD_FIELD, "kept", "1");
            shows(&t, RECORD_FIELD, "after", "2");
            tale_export(&t, &out);
            /* never silent: it wrote something or it is said why not */
            cr_assert(t.s->n_anomalies > 0 || t.s->events[1].n_writes > 0, "%s %s", kinds[k],
                      odd[o]);
            if (strcmp(odd[o], "c0") == 0) /* no map at all is wrong for all but a delete */
                cr_assert_eq(t.s->n_anomalies, k < 9, "%s", kinds[k]);
            tale_end(&t);
        }
    buf_release(&out);
}

Test(record, a_payload_that_never_passed_a_gate_does_no_harm)
{
    static const char *const bad[] = {
        "82a16202a16101", "82a16101a16102", "82a16101", "81", "81a5", "df", "81c001", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tale t;
        uint8_t raw[32];
        size_t n = strlen(bad[i]) / 2;
        tale_begin(&t, 4);
        cr_assert(hex_decode(raw, n, bad[i], 2 * n));
        uint8_t *copy = malloc(n + 1); /* so that the sanitizer sees a step too far */
        memcpy(copy + 1, raw, n);
        tell(&t, 1, 10, "record.create", "a=1", "");
        t.views[0].payload = bytes_of(copy + 1, n);
        tale_fold(&t);
        cr_assert_eq(t.s->n_anomalies, 1, "%s", bad[i]);
        cr_assert_eq(t.s->n_writes, 0);
        free(copy);
        tale_end(&t);
    }
}

/* ---- the canonical line ---- */

Test(record, canonical_line)
{
    tale t;
    buf out;
    buf_init(&out, 10000);
    tale_begin(&t, 16);
    tell(&t, 1, 1, "record.create", "a=1 b=x", "");
    tell(&t, 2, 2, "field.set", "a=-2", "");
    tell(&t, 65539, 3, "note.add", "text=hi", "");
    tell(&t, 2, 4, "tag.add", "tag=t", "");
    tell(&t, 2, 5, "counter.add", "counter=n delta=-3", "");
    tell(&t, 2, 6, "record.delete", "", "2");
    tell(&t, 2, 7, "attachment.add", "field=b hash=h", "");
    tell(&t, 2, 8, "state.set", "state=s", "");
    tell(&t, 2, 9, "set.add", "set=z value=1", "");
    tell(&t, 3, 9, "record.create", "b=x", "");
    tale_export(&t, &out);
    static const char expected[] =
        "{\"attachments\":{\"b\":[{\"refs\":[\"2/5/"
        "0000000700000000\"],\"value\":{\"field\":\"b\",\"hash\":\"h\"}}]},"
        "\"collisions\":[\"1/1/0000000100000000\",\"3/1/0000000a00000000\"],"
        "\"counters\":{\"n\":{\"minus\":3,\"plus\":0,\"refs\":[\"2/3/0000000500000000\"]}},"
        "\"created\":[\"3/1/0000000a00000000\",\"1/1/0000000100000000\"],"
        "\"deleted\":[\"2/4/0000000600000000\"],"
        "\"fields\":{\"a\":[{\"refs\":[\"2/1/0000000200000000\"],\"value\":-2},"
        "{\"refs\":[\"1/1/0000000100000000\"],\"value\":1}],"
        "\"b\":[{\"refs\":[\"3/1/0000000a00000000\",\"1/1/0000000100000000\"],\"value\":\"x\"}]},"
        "\"form\":\"form\",\"record\":\"rec\","
        "\"sets\":{\"z\":[{\"refs\":[\"2/7/0000000900000000\"],\"value\":1}]},"
        "\"states\":{\"state\":[{\"refs\":[\"2/6/0000000800000000\"],\"value\":\"s\"}]},"
        "\"tags\":{\"t\":[{\"refs\":[\"2/2/0000000400000000\"],\"value\":null}]}}\n";
    cr_assert(bytes_is(buf_view(&out), expected), "%.*s", (int)out.len, (const char *)out.p);
    buf_release(&out);
    tale_end(&t);
}

Test(record, an_empty_stream_is_an_empty_record)
{
    tale t;
    buf out;
    buf_init(&out, 1000);
    tale_begin(&t, 1);
    tale_export(&t, &out);
    cr_assert(bytes_is(buf_view(&out), "{\"form\":\"form\",\"record\":\"rec\"}\n"));
    cr_assert_eq(t.s->created, RECORD_NONE);
    cr_assert_eq(record_find(t.s, RECORD_FIELD, bytes_str("a")), RECORD_NONE);
    cr_assert_eq(record_shown(t.s, RECORD_NONE).len, 0);
    buf_release(&out);
    tale_end(&t);
}
