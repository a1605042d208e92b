#!/bin/sh
# Makes the test identities in this folder, with OpenSSL 3. Run by hand, once; the outputs are committed.
#
# Every private key is the SHA-256 hash of a printed sentence, so that nobody can take one for a secret. Signatures are
# random: a second run gives other, equally good certificates.
#
# Other scripts source this file for its functions: OUT says where their files go.
set -eu

HERE=$(cd "$(dirname "${PKI:-$0}")" && pwd)
OUT=${OUT:-$HERE}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT

START=20240101000000Z
FOREVER=99991231235959Z

# key NAME: the key of that name, as PEM in $TMP and as 32 raw bytes in $OUT.
key() {
    [ -f "$TMP/$1.pem" ] && return
    printf 'worthless published test key: %s' "$1" | openssl dgst -sha256 -binary >"$TMP/$1.key"
    # ECPrivateKey (RFC 5915 §3): version 1, the scalar, prime256v1.
    { printf '\060\061\002\001\001\004\040'; cat "$TMP/$1.key"; printf '\240\012\006\010\052\206\110\316\075\003\001\007'; } |
        openssl ec -inform DER -out "$TMP/$1.pem" 2>/dev/null
}

# publish NAME: writes the raw key to $OUT.
publish() {
    key "$1"
    cp "$TMP/$1.key" "$OUT/$1.key"
}

# issue FILE KEY ISSUER_FILE ISSUER_KEY SUBJECT START END EXTENSIONS: a certificate; self-signed if ISSUER_FILE is -.
issue() {
    key "$2"
    key "$4"
    printf '%b' "$8" >"$TMP/ext.cnf"
    # One byte of serial number, unique below every issuer here.
    SERIAL=$((${SERIAL:-0} % 127 + 1))
    printf '%02X' "$SERIAL" >"$TMP/serial"
    : >"$TMP/index"
    cat >"$TMP/ca.cnf" <<EOF
[ca]
default_ca = here
[here]
new_certs_dir = $TMP
database = $TMP/index
serial = $TMP/serial
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = optional
serialNumber = optional
organizationName = optional
[req]
distinguished_name = dn
string_mask = utf8only
[dn]
EOF
    openssl req -new -config "$TMP/ca.cnf" -multivalue-rdn -key "$TMP/$2.pem" -subj "$5" -out "$TMP/request.pem"
    if [ "$3" = - ]; then
        set -- "$@" -selfsign
    else
        set -- "$@" -cert "$TMP/$3.crt"
    fi
    FILE=$1 ISSUER_KEY=$4 FROM=$6 UNTIL=$7
    shift 8
    openssl ca -batch -notext -preserveDN -config "$TMP/ca.cnf" -in "$TMP/request.pem" -out "$TMP/$FILE.crt" \
        -keyfile "$TMP/$ISSUER_KEY.pem" -startdate "$FROM" -enddate "$UNTIL" -extfile "$TMP/ext.cnf" "$@" 2>"$TMP/log" || { cat "$TMP/log"; exit 1; }
    openssl x509 -in "$TMP/$FILE.crt" -outform DER -out "$OUT/$FILE.der"
}

NO_IDS='subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n'
ROOT="${NO_IDS}basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
ISSUER="${NO_IDS}basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign\n"
LISTING="${NO_IDS}basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
LEAF="${NO_IDS}keyUsage=critical,digitalSignature,keyAgreement\n"

# revoke FILE ISSUER SERIAL: list number 1 of that issuer (file and key), with one certificate of that number in it.
revoke() {
    : >"$TMP/index"
    printf 'R\t%s\t250101000000Z\t%02X\tunknown\t/CN=any\n' 991231235959Z "$3" >"$TMP/index"
    printf '01' >"$TMP/crlnumber"
    printf '[ca]\ndefault_ca=here\n[here]\ndatabase=%s\ncrlnumber=%s\ndefault_md=sha256\ncrl_extensions=crl\n[crl]\n' \
        "$TMP/index" "$TMP/crlnumber" >"$TMP/crl.cnf"
    openssl ca -gencrl -config "$TMP/crl.cnf" -cert "$TMP/$2.crt" -keyfile "$TMP/$2.pem" \
        -crl_lastupdate 20250101000000Z -crl_nextupdate 20491231235959Z -out "$TMP/$1.pem" 2>"$TMP/log" || { cat "$TMP/log"; exit 1; }
    openssl crl -in "$TMP/$1.pem" -outform DER -out "$OUT/$1.crl"
}

# A maker that keeps a revocation list, and on it the device under another certificate.
listed() {
    SERIAL=40
    issue listing-maker-root listing-maker-root - listing-maker-root '/CN=Listing Maker Root' $START $FOREVER "$LISTING"
    issue revoked-device device listing-maker-root listing-maker-root '/serialNumber=IOT-0001-0000-0001' $START $FOREVER "$LEAF"
    revoke listing-maker listing-maker-root "$SERIAL"
}

identities() {
    issue maker-root maker-root - maker-root '/CN=Test Maker Root' $START $FOREVER "$ROOT"
    issue maker-issuer maker-issuer maker-root maker-root '/CN=Test Maker' $START $FOREVER "$ISSUER"
    issue device device maker-issuer maker-issuer '/serialNumber=IOT-0001-0000-0001' $START $FOREVER "$LEAF"

    issue operator-root operator-root - operator-root '/CN=Test Operator Root' $START $FOREVER "$ROOT"
    issue operator-issuer operator-issuer operator-root operator-root '/CN=Test Operator' $START $FOREVER "$ISSUER"
    issue operator operator operator-issuer operator-issuer '/CN=provisioning.example-operator' $START $FOREVER "$LEAF"

    issue rogue-maker-root rogue-maker-root - rogue-maker-root '/CN=Rogue Maker Root' $START $FOREVER "$ROOT"
    issue rogue-device rogue-device rogue-maker-root rogue-maker-root '/serialNumber=IOT-0001-0000-0001' $START $FOREVER "$LEAF"

    issue rogue-operator-root rogue-operator-root - rogue-operator-root '/CN=Rogue Operator Root' $START $FOREVER "$ROOT"
    issue rogue-operator rogue-operator rogue-operator-root rogue-operator-root '/CN=provisioning.example-operator' $START $FOREVER "$LEAF"
}

if [ -z "${PKI:-}" ]; then
    identities
    listed
    for name in device operator rogue-device rogue-operator; do publish "$name"; done
    # CCS of raw keys: { 2: sub, 8: { 1: { 1: 2, 2: kid, -1: 1, -2: x, -3: y } } }
    ccs() { # FILE KEY KID-HEX SUB
        publish "$2"
        openssl ec -in "$TMP/$2.pem" -pubout -conv_form uncompressed -outform DER 2>/dev/null | tail -c 64 >"$TMP/xy"
        { printf '\242\002'; printf "\\$(printf %o $((0x60 + ${#4})))"; printf %s "$4"
          printf '\010\241\001\245\001\002\002\101'; printf "\\$(printf %o "0x$3")"
          printf '\040\001\041\130\040'; head -c 32 "$TMP/xy"; printf '\042\130\040'; tail -c 32 "$TMP/xy"; } >"$OUT/$1.ccs"
    }
    ccs raw-device raw-device 0d IOT-0001-0000-0002
    ccs raw-operator raw-operator 0a op.example
fi
