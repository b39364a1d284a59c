/* The heir key on paper: what is written is read back, and every slip of the pen is told. */
#include "pure/base32.h"
#include "pure/crypto.h"
#include "pure/paper.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

static char why[ERROR_TEXT_MAX_BYTES];

static void some_seed(prop_rng *r, uint8_t seed[MEMBER_SEED_BYTES])
{
    for (size_t i = 0; i < MEMBER_SEED_BYTES; i++)
        seed[i] = (uint8_t)prop_u64(r);
}

Test(paper, is_read_as_it_was_written)
{
    prop_rng r = {1};
    for (int round = 0; round < 200; round++) {
        uint8_t seed[MEMBER_SEED_BYTES], back[MEMBER_SEED_BYTES];
        char text[PAPER_TEXT_BYTES];
        some_seed(&r, seed);
        paper_write(text, seed);
        cr_assert_eq(strlen(text), PAPER_TEXT_BYTES - 1);
        cr_assert_eq(paper_read(bytes_str(text), back, why), ERR_OK, "%s", why);
        cr_assert_arr_eq(back, seed, sizeof seed);
    }
}

Test(paper, forgives_what_people_do_when_they_copy)
{
    uint8_t seed[MEMBER_SEED_BYTES], back[MEMBER_SEED_BYTES];
    char text[PAPER_TEXT_BYTES], typed[2 * PAPER_TEXT_BYTES];
    prop_rng r = {2};
    some_seed(&r, seed);
    paper_write(text, seed);
    size_t n = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        char c = text[i];
        typed[n++] = c == '0' ? 'O' : c == '1' ? 'l' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        if (c == ' ')
            typed[n++] = i % 2 ? '-' : '\n';
    }
    typed[n++] = '\n';
    cr_assert_eq(paper_read(bytes_of(typed, n), back, why), ERR_OK, "%s", why);
    cr_assert_arr_eq(back, seed, sizeof seed);
}

Test(paper, tells_a_mistyped_key)
{
    uint8_t seed[MEMBER_SEED_BYTES], back[MEMBER_SEED_BYTES];
    static const uint8_t none[MEMBER_SEED_BYTES];
    char text[PAPER_TEXT_BYTES];
    prop_rng r = {3};
    some_seed(&r, seed);
    paper_write(text, seed);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char typed[PAPER_TEXT_BYTES];
        memcpy(typed, text, sizeof typed);
        if (text[i] == ' ')
            continue;
        typed[i] = text[i] == '7' ? '8' : '7';
        cr_assert_eq(paper_read(bytes_str(typed), back, why), ERR_CHECKSUM, "character %zu", i);
        cr_assert_arr_eq(back, none, sizeof none, "half a key was given out");
        cr_assert_eq(paper_read(bytes_of(text, i), back, why), i == 0 ? ERR_INVALID : ERR_CHECKSUM);
    }
    memcpy(text, text + 5, 4); /* a group twice, another one left out */
    cr_assert_eq(paper_read(bytes_str(text), back, why), ERR_CHECKSUM);
    text[3] = '$';
    cr_assert_eq(paper_read(bytes_str(text), back, why), ERR_CHECKSUM);
    cr_assert_not_null(strstr(why, "'$'"));
}
