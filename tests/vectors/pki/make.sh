#!/bin/sh
# Makes certificates that have something special about them, most of them a fault, for tests/trust.rs. Run by hand, once.
# Issuers are the test identities of src/sim/pki, which has to be made first.
set -eu

PKI=$(cd "$(dirname "$0")/../../../src/sim/pki" && pwd)/make.sh
OUT=$(cd "$(dirname "$0")" && pwd)
. "$PKI"

# known NAME: an issuer that src/sim/pki has already.
known() {
    key "$1"
    openssl x509 -inform DER -in "$(dirname "$PKI")/$1.der" -out "$TMP/$1.crt"
}

SERIAL=100
known maker-root
known maker-issuer
known operator-issuer

NAME=/serialNumber=IOT-0001-0000-0009
# leaf FILE SUBJECT START END EXTENSIONS: below the maker's issuer, with the key of its own name unless there is a $KEY.
leaf() { issue "$1" "${KEY:-$1}" maker-issuer maker-issuer "$2" "$3" "$4" "$5"; }
# issuer FILE SUBJECT EXTENSIONS: below the maker's root.
issuer() { issue "$1" "$1" maker-root maker-root "$2" $START $FOREVER "$3"; }

leaf expired $NAME 20200101000000Z 20210101000000Z "$LEAF"
leaf future $NAME 20900101000000Z $FOREVER "$LEAF"
leaf sign-only $NAME $START $FOREVER "${NO_IDS}keyUsage=digitalSignature\n"
leaf agree-only $NAME $START $FOREVER "${NO_IDS}keyUsage=keyAgreement\n"
leaf any-usage $NAME $START $FOREVER "${NO_IDS}basicConstraints=CA:false\nextendedKeyUsage=clientAuth,1.3.6.1.4.1.1\n"
leaf encipher-only $NAME $START $FOREVER "${NO_IDS}keyUsage=keyEncipherment\n"
leaf ca-leaf $NAME $START $FOREVER "${LEAF}basicConstraints=critical,CA:true\n"
leaf bad-eku $NAME $START $FOREVER "${LEAF}2.5.29.37=DER:30:03:02:01:00\n"
leaf bad-ku $NAME $START $FOREVER "${NO_IDS}2.5.29.15=DER:04:00\n"
leaf critical $NAME $START $FOREVER "${LEAF}1.2.3.4=critical,DER:05:00\n"
leaf nameless /CN=device $START $FOREVER "$LEAF"
leaf two-names /serialNumber=A/serialNumber=B $START $FOREVER "$LEAF"
issue unprintable unprintable operator-issuer operator-issuer "/CN=op$(printf '\001')" $START $FOREVER "$LEAF"
issue self-signed self-signed - self-signed $NAME $START $FOREVER "$LEAF"

key compressed
openssl ec -in "$TMP/compressed.pem" -conv_form compressed -out "$TMP/compressed-key.pem" 2>/dev/null
KEY=compressed-key leaf compressed $NAME $START $FOREVER "$LEAF"
openssl ecparam -name secp384r1 -genkey -noout -out "$TMP/p384.pem"
leaf p384 $NAME $START $FOREVER "$LEAF"

# Issuers with a fault, and a leaf below each.
openssl ecparam -name secp384r1 -genkey -noout -out "$TMP/p384-issuer.pem"
issuer p384-issuer '/CN=P384 Issuer' "$ISSUER"
issuer not-ca '/CN=Not CA' "$LEAF"
issuer no-cert-sign '/CN=No Cert Sign' "${NO_IDS}basicConstraints=critical,CA:true\nkeyUsage=critical,cRLSign\n"
issuer constrained '/CN=Constrained' "${ISSUER}nameConstraints=critical,permitted;dirName:here\n[here]\nO=elsewhere\n"
issue below-issuer below-issuer maker-issuer maker-issuer '/CN=Below Issuer' $START $FOREVER "$ISSUER"
for name in p384-issuer not-ca no-cert-sign constrained below-issuer; do
    issue below-$name leaf-below $name $name $NAME $START $FOREVER "$LEAF"
done

# As long as a chain may be, and one more.
issuer long-1 '/CN=Long 1' "$ROOT"
issue long-2 long-2 long-1 long-1 '/CN=Long 2' $START $FOREVER "$ROOT"
issue long-3 long-3 long-2 long-2 '/CN=Long 3' $START $FOREVER "$ROOT"
issue long-4 long-4 long-3 long-3 $NAME $START $FOREVER "$LEAF"
issue long-4-ca long-4-ca long-3 long-3 '/CN=Long 4' $START $FOREVER "$ROOT"
issue long-5 long-5 long-4-ca long-4-ca $NAME $START $FOREVER "$LEAF"
