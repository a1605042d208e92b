#!/usr/bin/env python3
"""A second computation of EDHOC (RFC 9528), and the known answers it gives.

It shares nothing with the crate: Python 3 and its standard library, with P-256,
ECDSA, AES-CCM, AES-GCM, HKDF, CBOR and a little DER written out below.

    edhoc_known_answers.py                 write the known answers to stdout
    edhoc_known_answers.py --check FILE    self-test, compute again, compare

--check ends with status 1 and the name of every value that differs. The
self-test computes the vectors beside this file: crypto_*.json, and all of
RFC 9529 Sections 2 (X25519 and EdDSA results played back) and 3.

Layout of the JSON: "suites" says what each number stands for, "cases" has one
object for each session. A value is hexadecimal unless said otherwise; names
are those of edhoc_rfc9529_section_3.json:

  id             text, "method M, suite S"
  method         the METHOD item; suite: number; suites_i: the SUITES_I item;
                 suites_r: numbers, what the Responder supports in this case
  x, y           ephemeral private keys; g_x, g_y: x-coordinates of the public
  sk_i, sk_r     private authentication keys: for signing or for static DH, as
                 the method says; pk_*_x and pk_*_y are the public ones
  c_i, c_r       the item in the message (integer or bstr); c_*_raw: the bytes
                 of the identifier, which are also the OSCORE identifier
  id_cred_*      the COSE header map; id_cred_*_kind: text, "kid", "kccs",
                 "x5t" or "x5chain"; id_cred_*_compact: what the plaintext has
                 in its place, which differs for kid only
  cred_*         CRED_x as it enters the transcript: a CCS map, or a bstr that
                 holds an X.509 certificate of an end entity; root: the DER of
                 the certificate that issued it, present if there is one
  ead_1..ead_4   the whole EAD field; ead_*_items: list of [label, value] with
                 label a number, negative if critical, and value perhaps null
  g_xy, g_rx, g_iy, salt_3e2m, salt_4e3m
                 present if the method computes them
  signature_input_2, signature_input_3
                 the Sig_structure, present if that side signs: deterministic
                 (RFC 6979), r || s. Else signature_or_mac_n repeats mac_n.
  oscore_master_secret, oscore_master_salt
                 labels 0 and 1, context h'', lengths of the suite: a key of the
                 application AEAD (16, but 32 for suite -24), and 8
  export_0_16    label 0, context h'', always 16 bytes
  export_32768   label 32768, context export_context, 40 bytes
  key_update_*   the same after one EDHOC_KeyUpdate(key_update_context)

Every private key is 1 + SHA-256(text) mod (n - 1), text being
"edhoc known answers, ID, NAME" with the id of the case and the name of the key.
"""
import hashlib
import hmac
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def xor(a, b): return bytes(x ^ y for x, y in zip(a, b))
def b32(number): return number.to_bytes(32, "big")
def num(data): return int.from_bytes(data, "big")
def sha256(data): return hashlib.sha256(data).digest()
def mac(key, data): return hmac.new(key, data, hashlib.sha256).digest()


# ---- HKDF with SHA-256 ------------------------------------------------------

def extract(salt, ikm): return mac(salt or bytes(32), ikm)


def expand(prk, info, length):
    assert length <= 255 * 32
    okm, block = b"", b""
    while len(okm) < length:
        block = mac(prk, block + info + bytes([len(okm) // 32 + 1]))
        okm += block
    return okm[:length]


# ---- P-256 (affine, None is the point at infinity) and ES256 ----------------

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(p, q):
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * (p[0] * p[0] - 1) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def mul(k, p=G):
    result = None
    for bit in bin(k)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, p)
    return result


def ecdh(private, public_x):
    """Compact: either point with this x-coordinate gives the same result."""
    x = num(public_x)
    y2 = (x**3 - 3 * x + B) % P
    y = pow(y2, (P + 1) // 4, P)
    assert x < P and y * y % P == y2, "not on the curve"
    return b32(mul(num(private), (x, y))[0])


def es256(private, message):
    """r || s with the nonce of RFC 6979 Section 3.2."""
    d, e = num(private), num(sha256(message))
    k, v = bytes(32), b"\x01" * 32
    for octet in (b"\x00", b"\x01"):
        k = mac(k, v + octet + b32(d) + b32(e % N))
        v = mac(k, v)
    while True:
        v = mac(k, v)
        if 0 < num(v) < N:
            r = mul(num(v))[0] % N
            s = pow(num(v), -1, N) * (e + r * d) % N
            if r and s:
                return b32(r) + b32(s)
        k = mac(k, v + b"\x00")
        v = mac(k, v)


# ---- AES (encryption only, key of 16 or 32 bytes), CCM and GCM --------------

def double(a): return a << 1 ^ (0x11B if a & 0x80 else 0)
def pad16(data): return data + bytes(-len(data) % 16)
def blocks(data): return [data[i:i + 16] for i in range(0, len(data), 16)]


def make_sbox():
    """The inverse in GF(2^8), by powers of 3, then the affine map."""
    power = [1]
    while len(power) < 255:
        power.append(power[-1] ^ double(power[-1]))
    box = [0x63] * 256
    for i, a in enumerate(power):
        b = power[-i % 255]
        for n in range(5):
            box[a] ^= (b << n | b >> (8 - n)) & 0xFF
    return box


SBOX = make_sbox()


def aes(key):
    """The block cipher with this key, as a function of one block."""
    words = [key[i:i + 4] for i in range(0, len(key), 4)]
    nk, rcon = len(words), 1
    rounds = nk + 6
    for i in range(nk, 4 * (rounds + 1)):
        t = words[-1]
        if i % nk == 0:
            t = bytes(SBOX[a] for a in t[1:] + t[:1])
            t, rcon = bytes([t[0] ^ rcon]) + t[1:], double(rcon)
        elif nk == 8 and i % nk == 4:
            t = bytes(SBOX[a] for a in t)
        words.append(xor(words[i - nk], t))
    keys = [b"".join(words[i:i + 4]) for i in range(0, len(words), 4)]

    def encrypt(block):
        state = xor(block, keys[0])
        for n in range(1, rounds + 1):
            shifted = [SBOX[state[5 * i % 16]] for i in range(16)]
            columns = [shifted[i:i + 4] for i in range(0, 16, 4)]
            if n < rounds:
                columns = [[a ^ double(a ^ b) ^ c[0] ^ c[1] ^ c[2] ^ c[3] for a, b in zip(c, c[1:] + c[:1])]
                           for c in columns]
            state = xor(sum(columns, []), keys[n])
        return state
    return encrypt


def ctr(encrypt, prefix, first, data):
    size = 16 - len(prefix)
    return b"".join(xor(block, encrypt(prefix + (first + i).to_bytes(size, "big")))
                    for i, block in enumerate(blocks(data)))


def ccm(key, nonce, aad, plaintext, tag_length):
    """RFC 3610 with L = 2, so a nonce of 13 bytes."""
    encrypt = aes(key)
    flags = (0x40 if aad else 0) | (tag_length - 2) // 2 << 3 | 1
    data = bytes([flags]) + nonce + len(plaintext).to_bytes(2, "big")
    if aad:
        assert len(aad) < 0xFF00
        data += pad16(len(aad).to_bytes(2, "big") + aad)
    chain = bytes(16)
    for block in blocks(data + pad16(plaintext)):
        chain = encrypt(xor(chain, block))
    prefix = b"\x01" + nonce
    return ctr(encrypt, prefix, 1, plaintext) + ctr(encrypt, prefix, 0, chain)[:tag_length]


def gcm(key, nonce, aad, plaintext, tag_length):
    """SP 800-38D with a nonce of 12 bytes."""
    encrypt = aes(key)
    ciphertext = ctr(encrypt, nonce, 2, plaintext)
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    h, y = num(encrypt(bytes(16))), 0
    for block in blocks(pad16(aad) + pad16(ciphertext) + lengths):
        y ^= num(block)
        z, v = 0, h
        for bit in range(127, -1, -1):
            z ^= v if y >> bit & 1 else 0
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return ciphertext + ctr(encrypt, nonce, 1, y.to_bytes(16, "big"))[:tag_length]


# ---- CBOR (deterministic) and X.509 -----------------------------------------

def head(major, n):
    for extra, size in ((24, 1), (25, 2), (26, 4)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 256**size:
            return bytes([major << 5 | extra]) + n.to_bytes(size, "big")
    raise ValueError(n)


def cbor(*items):
    """A CBOR sequence of integers, bytes, text, lists and maps."""
    out = b""
    for item in items:
        if isinstance(item, int):
            out += head(0, item) if item >= 0 else head(1, -1 - item)
        elif isinstance(item, bytes):
            out += head(2, len(item)) + item
        elif isinstance(item, str):
            out += head(3, len(item.encode())) + item.encode()
        elif isinstance(item, list):
            out += head(4, len(item)) + cbor(*item)
        else:
            pairs = sorted((cbor(k), cbor(v)) for k, v in item.items())
            out += head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    return out


def identifier(raw):
    """RFC 9528 Section 3.3.2: one byte that is a CBOR integer stands for itself."""
    one_byte = len(raw) == 1 and (raw[0] <= 0x17 or 0x20 <= raw[0] <= 0x37)
    return raw if one_byte else cbor(raw)


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = [n] if n < 128 else [0x81, n] if n < 256 else [0x82, n >> 8, n & 0xFF]
    return bytes([tag, *size]) + body


def der_integer(data):
    data = data.lstrip(b"\x00")
    return der(0x02, b"\x00" if data[0] & 0x80 else b"", data)


X = bytes.fromhex
ECDSA_WITH_SHA256 = X("300a06082a8648ce3d040302")
EC_P256 = X("301306072a8648ce3d020106082a8648ce3d030107")
CA = X("300f0603551d130101ff040530030101ff")
DIGITAL_SIGNATURE = X("300e0603551d0f0101ff040403020780")
KEY_AGREEMENT = X("300e0603551d0f0101ff040403020308")


def certificate(subject, public, issuer, issuer_key, extension):
    """X.509 version 3 with one extension, signed with ES256."""
    def name(text):
        return der(0x30, der(0x31, der(0x30, X("0603550403"), der(0x0C, text.encode()))))
    tbs = der(0x30, der(0xA0, der_integer(b"\x02")), der_integer(sha256(subject.encode())[:8]), ECDSA_WITH_SHA256,
              name(issuer), der(0x30, der(0x17, b"250101000000Z"), der(0x18, b"99991231235959Z")), name(subject),
              der(0x30, EC_P256, der(0x03, b"\x00\x04", *public)), der(0xA3, der(0x30, extension)))
    signature = es256(issuer_key, tbs)
    return der(0x30, tbs, ECDSA_WITH_SHA256,
               der(0x03, b"\x00", der(0x30, der_integer(signature[:32]), der_integer(signature[32:]))))


# ---- EDHOC ------------------------------------------------------------------

#  suite: (AEAD, tag length, nonce length, MAC length, key length of the application AEAD)
SUITES = {0: (ccm, 8, 13, 8, 16), 2: (ccm, 8, 13, 8, 16), 3: (ccm, 16, 13, 16, 16), -24: (gcm, 16, 12, 16, 32)}


def session(c, secret, sign):
    """Adds everything the protocol computes to the case c (name to bytes).

    secret(name) gives g_xy, g_rx or g_iy; sign(n, input) signs for message n.
    """
    aead, tag_length, iv_length, mac_length, app_key_length = SUITES[c["suite"]]
    signs = {2: c["method"][0] in (0, 2), 3: c["method"][0] in (0, 1)}

    def kdf(name, prk, label, context, length):
        c[name] = expand(c[prk], cbor(label, context, length), length)

    def authenticate(n, prk, label, c_x, who):
        id_cred, th = c["id_cred_" + who], c["th_%d" % n]
        rest = cbor(th) + c["cred_" + who] + c["ead_%d" % n]
        c["context_%d" % n] = c_x + id_cred + rest
        kdf("mac_%d" % n, prk, label, c["context_%d" % n], 32 if signs[n] else mac_length)
        proof = c["mac_%d" % n]
        if signs[n]:
            c["signature_input_%d" % n] = cbor(["Signature1", id_cred, rest, proof])
            proof = sign(n, c["signature_input_%d" % n])
        c["signature_or_mac_%d" % n] = proof
        # { 4 : kid } and nothing else; every kid here is shorter than 24 bytes
        compact = identifier(id_cred[3:]) if id_cred[:2] == b"\xa1\x04" else id_cred
        c["id_cred_%s_compact" % who] = compact
        c["plaintext_%d" % n] = c_x + compact + cbor(proof) + c["ead_%d" % n]

    def seal(n, prk, label):
        kdf("k_%d" % n, prk, label, c["th_%d" % n], 16)
        kdf("iv_%d" % n, prk, label + 1, c["th_%d" % n], iv_length)
        c["a_%d" % n] = cbor(["Encrypt0", b"", c["th_%d" % n]])
        c["ciphertext_%d" % n] = aead(c["k_%d" % n], c["iv_%d" % n], c["a_%d" % n], c["plaintext_%d" % n], tag_length)
        c["message_%d" % n] = cbor(c["ciphertext_%d" % n])

    def application(prefix):
        kdf(prefix + "prk_exporter", prefix + "prk_out", 10, b"", 32)
        for name, label, context, length in (
                ("oscore_master_secret", 0, b"", app_key_length), ("oscore_master_salt", 1, b"", 8),
                ("export_0_16", 0, b"", 16), ("export_32768", 32768, c["export_context"], 40)):
            kdf(prefix + name, prefix + "prk_exporter", label, context, length)

    c["message_1"] = c["method"] + c["suites_i"] + cbor(c["g_x"]) + c["c_i"] + c["ead_1"]

    c["h_message_1"] = sha256(c["message_1"])
    c["th_2"] = sha256(cbor(c["g_y"], c["h_message_1"]))
    c["g_xy"] = secret("g_xy")
    c["prk_2e"] = c["prk_3e2m"] = extract(c["th_2"], c["g_xy"])
    if not signs[2]:
        kdf("salt_3e2m", "prk_2e", 1, c["th_2"], 32)
        c["g_rx"] = secret("g_rx")
        c["prk_3e2m"] = extract(c["salt_3e2m"], c["g_rx"])
    authenticate(2, "prk_3e2m", 2, c["c_r"], "r")
    kdf("keystream_2", "prk_2e", 0, c["th_2"], len(c["plaintext_2"]))
    c["ciphertext_2"] = xor(c["plaintext_2"], c["keystream_2"])
    c["message_2"] = cbor(c["g_y"] + c["ciphertext_2"])

    c["th_3"] = sha256(cbor(c["th_2"]) + c["plaintext_2"] + c["cred_r"])
    c["prk_4e3m"] = c["prk_3e2m"]
    if not signs[3]:
        kdf("salt_4e3m", "prk_3e2m", 5, c["th_3"], 32)
        c["g_iy"] = secret("g_iy")
        c["prk_4e3m"] = extract(c["salt_4e3m"], c["g_iy"])
    authenticate(3, "prk_4e3m", 6, b"", "i")
    seal(3, "prk_3e2m", 3)

    c["th_4"] = sha256(cbor(c["th_3"]) + c["plaintext_3"] + c["cred_i"])
    c["plaintext_4"] = c["ead_4"]
    seal(4, "prk_4e3m", 8)
    kdf("prk_out", "prk_4e3m", 7, c["th_4"], 32)
    application("")
    kdf("key_update_prk_out", "prk_out", 11, c["key_update_context"], 32)
    application("key_update_")
    return c


def p256_secret(c):
    """Each shared secret from both sides, which must agree."""
    def secret(name):
        mine, theirs, other, its = (c[key] for key in {
            "g_xy": ("x", "g_y", "y", "g_x"), "g_rx": ("sk_r", "g_x", "x", "pk_r_x"),
            "g_iy": ("sk_i", "g_y", "y", "pk_i_x")}[name])
        assert ecdh(mine, theirs) == ecdh(other, its)
        return ecdh(mine, theirs)
    return secret


# ---- The cases --------------------------------------------------------------

PADDING = bytes(range(0xC0, 0xDB))      # 27 bytes, where random ones would stand

#  method, suite, SUITES_I, C_I, C_R, how the Initiator and the Responder name
#  their credentials, and EAD_1 to EAD_4
CASES = [
    (0, 2, [2], X("0e"), X("18"), "x5t -15", "x5chain 1", [(7, X("0102"))], [], [(0, PADDING)], []),
    (0, 3, [2, 3], X(""), X("37"), "kccs", "kid 32", [], [], [], []),
    (0, -24, [-24], X("a1b2c3d4"), X("17"), "x5chain 2", "x5t -16",
     [], [(-9, X("beef"))], [(0, None)], [(7, None)]),
    (1, 2, [-24, 2], X("38"), X("00"), "kid ff", "kccs", [(0, b"")], [], [(11, b""), (-9, None)], []),
    (1, 3, [3], X("2a"), X("2b"), "x5t -16", "kid 0102030405060708",
     [(7, X("0102")), (1000, None)], [(0, PADDING)], [], []),
    (1, -24, [-24], X("20"), X("c0ffee"), "kccs", "kid 21", [], [], [(0, PADDING), (0, b"")], [(-1000, X("00"))]),
    (2, 2, [2], X("0001020304050607"), X("0d"), "kid 2b", "x5t -15", [], [(7, X("0102")), (-9, PADDING)], [], []),
    (2, 3, [-24, 2, 3], X("ff"), X("fe"), "kccs", "x5chain 2", [(65535, X("03"))], [], [], [(0, X("e9"))]),
    (2, -24, [3, -24], X("36"), X(""), "x5t -15", "kid 18",
     [(7, X("0102"))], [(-9, X("0102"))], [(0, None)], []),
    (3, 2, [2], X("37"), X("27"), "kccs", "kccs",
     [(7, X("0102"))], [(-9, b"")], [(0, PADDING)], [(7, X("0304"))]),
    (3, 3, [3], X("1718"), X("3738"), "kid", "x5t -15", [], [], [], []),
    (3, -24, [2, 3, -24], X("0b"), X("41"), "x5chain 1", "kid 38",
     [], [(24, X("aa")), (-24, X("bb"))], [(7, None)], []),
]


def credential(how, name, public, extension, root, root_certificate):
    """ID_CRED_x and CRED_x, both encoded."""
    kind, _, argument = how.partition(" ")
    key = {1: 2, -1: 1, -2: public[0], -3: public[1]}
    if kind == "kid":
        return cbor({4: X(argument)}), cbor({2: name, 8: {1: dict(key) | {2: X(argument)}}})
    if kind == "kccs":
        return cbor({14: {2: name, 8: {1: key}}}), cbor({2: name, 8: {1: key}})
    leaf = certificate(name, public, "root", root, extension)
    if kind == "x5t":
        return cbor({34: [int(argument), sha256(leaf)[:8 if argument == "-15" else 32]]}), cbor(leaf)
    return cbor({33: leaf if argument == "1" else [leaf, root_certificate]}), cbor(leaf)


def make_case(method, suite, suites_i, c_i, c_r, how_i, how_r, *eads):
    c = {"id": "method %d, suite %d" % (method, suite), "method": cbor(method), "suite": suite, "suites_r": [suite],
         "suites_i": cbor(suites_i[0] if len(suites_i) == 1 else suites_i),
         "c_i": identifier(c_i), "c_i_raw": c_i, "c_r": identifier(c_r), "c_r_raw": c_r}

    def private(name):
        return b32(1 + num(sha256(("edhoc known answers, %s, %s" % (c["id"], name)).encode())) % (N - 1))
    root = private("root")
    root_certificate = certificate("root", list(map(b32, mul(num(root)))), "root", root, CA)
    if "x5" in how_i + how_r:
        c["root"] = root_certificate
    for name in "xy":
        c[name] = private(name)
        c["g_" + name] = b32(mul(num(c[name]))[0])
    for who, name, how, signs in (("i", "initiator", how_i, method in (0, 1)),
                                  ("r", "responder", how_r, method in (0, 2))):
        c["sk_" + who] = private("sk_" + who)
        public = c["pk_%s_x" % who], c["pk_%s_y" % who] = list(map(b32, mul(num(c["sk_" + who]))))
        c["id_cred_%s_kind" % who] = how.split()[0]
        c["id_cred_" + who], c["cred_" + who] = credential(
            how, name, public, DIGITAL_SIGNATURE if signs else KEY_AGREEMENT, root, root_certificate)
    for n, items in enumerate(eads, 1):
        c["ead_%d_items" % n] = [[label, None if value is None else value.hex()] for label, value in items]
        c["ead_%d" % n] = b"".join(cbor(label) if value is None else cbor(label, value) for label, value in items)
    c["key_update_context"], c["export_context"] = bytes(range(0xA0, 0xB0)), b"context"
    return session(c, p256_secret(c), lambda n, data: es256(c["sk_r" if n == 2 else "sk_i"], data))


def known_answers():
    return {
        "kind": "edhoc_known_answers",
        "source": "computed by edhoc_known_answers.py, which says what each name means; not published anywhere",
        "checked": "its self-test computes RFC 9529 Sections 2 and 3 and the vectors of crypto_*.json; shared secrets, "
                   "signatures, ciphertexts and certificates of these cases verified with Python cryptography 48",
        "suites": {"2": "AES-CCM-16-64-128, SHA-256, 8, P-256, ES256, AES-CCM-16-64-128, SHA-256",
                   "3": "AES-CCM-16-128-128, SHA-256, 16, P-256, ES256, AES-CCM-16-64-128, SHA-256",
                   "-24": "private use: A128GCM, SHA-256, 16, P-256, ES256, A256GCM, SHA-256"},
        "cases": [{k: v.hex() if isinstance(v, bytes) else v for k, v in make_case(*row).items()} for row in CASES],
    }


def text(answers):
    """JSON with one value to a line."""
    def lines(values, indent):
        return ",\n".join("%s%s: %s" % (indent, json.dumps(k), json.dumps(v)) for k, v in values.items())
    cases = ",\n".join("  {\n%s\n  }" % lines(c, "   ") for c in answers["cases"])
    top = {k: v for k, v in answers.items() if k != "cases"}
    return "{\n%s,\n \"cases\": [\n%s\n ]\n}\n" % (lines(top, " "), cases)


# ---- Self-test and comparison -----------------------------------------------

GIVEN = ("id", "method", "suite", "suites_i", "x", "y", "g_x", "g_y", "c_i", "c_r", "sk_i", "sk_r",
         "pk_i_x", "pk_r_x", "id_cred_i", "id_cred_r", "cred_i", "cred_r")


def self_test():
    """The names of what does not come out as published, and how much was compared."""
    results = []

    def compare(name, got, want):
        results.append(None if got == want else name)

    def load(name):
        return [{k: v if k in ("id", "aead") or isinstance(v, int) else X(v) for k, v in case.items()}
                for case in json.loads((HERE / name).read_text())["cases"]]
    for name, aead, length in (("crypto_ccm_8", ccm, 8), ("crypto_ccm_16", ccm, 16), ("crypto_gcm", gcm, 16)):
        for v in load(name + ".json"):
            compare("%s %s" % (name, v["id"]), aead(v["key"], v["nonce"], v["aad"], v["plaintext"], length),
                    v["ciphertext"] + v["tag"])
    for v in load("crypto_es256.json"):
        compare("crypto_es256 " + v["id"], es256(v["x"], v["message"]), v["r"] + v["s"])
    for v in load("crypto_hkdf.json"):
        compare("crypto_hkdf prk " + v["id"], extract(v["salt"], v["ikm"]), v["prk"])
        compare("crypto_hkdf okm " + v["id"], expand(v["prk"], v["info"], len(v["okm"])), v["okm"])
    # FIPS 197 Appendix C.3
    compare("AES-256", aes(bytes(range(32)))(X("00112233445566778899aabbccddeeff")),
            X("8ea2b7ca516745bfeafc49904b496089"))
    for n in (2, 3):
        want = load("edhoc_rfc9529_section_%d.json" % n)[0]
        case = {k: v for k, v in want.items() if k in GIVEN}
        case.update(dict.fromkeys(("ead_1", "ead_2", "ead_3", "ead_4", "export_context"), b""),
                    key_update_context=want["key_update_context"])
        if n == 2:
            session(case, lambda name: want[name], lambda n, data: want["signature_or_mac_%d" % n])
        else:
            session(case, p256_secret(case), None)
            for private, public in (("x", "g_x"), ("y", "g_y"), ("sk_i", "pk_i_x"), ("sk_r", "pk_r_x")):
                compare("RFC 9529 Section 3 " + public, b32(mul(num(want[private]))[0]), want[public])
        for name in want:
            if name not in GIVEN and name in case:
                compare("RFC 9529 Section %d %s" % (n, name), case[name], want[name])
    return ["self-test: " + name for name in results if name], len(results)


def check(path):
    wrong, count = self_test()
    have, want = json.loads(Path(path).read_text()), known_answers()
    wrong += [name for name in want if name != "cases" and have.get(name) != want[name]]
    if [c["id"] for c in want["cases"]] != [c.get("id") for c in have.get("cases", [])]:
        wrong.append("cases")
    else:
        for a, b in zip(have["cases"], want["cases"]):
            names = list(b) + [name for name in a if name not in b]
            wrong += ["%s: %s" % (b["id"], name) for name in names if a.get(name, 0) != b.get(name, 0)]
    for name in wrong:
        print("differs:", name, file=sys.stderr)
    if not wrong:
        values = sum(map(len, want["cases"]))
        print("self-test: %d values; %s: %d values in %d cases" % (count, path, values, len(want["cases"])))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.stdout.write(text(known_answers()))
    elif len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    else:
        sys.exit(__doc__)
