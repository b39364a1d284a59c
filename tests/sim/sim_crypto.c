/* pure/crypto.c with a stand-in for Ed25519 that costs a hash: anyone can forge it, and nobody in the simulator does.
 * Hashing and everything else is the real code, and with sim_real_crypto the signatures are too. */
#include "tests/sim/sim.h"

#define crypto_signer_from_seed real_signer_from_seed
#define crypto_sign_message     real_sign_message
#define crypto_verify_message   real_verify_message
void real_signer_from_seed(crypto_signer *out, const uint8_t seed[MEMBER_SEED_BYTES]);
err_t real_sign_message(seal_sig *out, const crypto_signer *key, bytes message);
err_t real_verify_message(const seal_sig *sig, const member_key *key, bytes message);
#include "common/pure/crypto.c"
#undef crypto_signer_from_seed
#undef crypto_sign_message
#undef crypto_verify_message

bool sim_real_crypto;
void crypto_signer_from_seed(crypto_signer *out, const uint8_t seed[MEMBER_SEED_BYTES]);
err_t crypto_sign_message(seal_sig *out, const crypto_signer *key, bytes message);
err_t crypto_verify_message(const seal_sig *sig, const member_key *key, bytes message);

void crypto_signer_from_seed(crypto_signer *out, const uint8_t seed[MEMBER_SEED_BYTES])
{
    if (sim_real_crypto) {
        real_signer_from_seed(out, seed);
        return;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->secret, seed, MEMBER_SEED_BYTES);
    crypto_digest(out->public.b, bytes_of(seed, MEMBER_SEED_BYTES));
}

err_t crypto_sign_message(seal_sig *out, const crypto_signer *key, bytes message)
{
    if (sim_real_crypto)
        return real_sign_message(out, key, message);
    crypto_keyed_hash(out->b, sizeof out->b, key->public.b, message);
    return ERR_OK;
}

err_t crypto_verify_message(const seal_sig *sig, const member_key *key, bytes message)
{
    seal_sig good;
    if (sim_real_crypto)
        return real_verify_message(sig, key, message);
    crypto_keyed_hash(good.b, sizeof good.b, key->b, message);
    return memcmp(good.b, sig->b, sizeof good.b) == 0 ? ERR_OK : ERR_BAD_SEAL;
}
