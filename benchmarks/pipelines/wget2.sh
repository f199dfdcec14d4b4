#!/bin/sh
# wget2 fetches the recordings; curl, jq, awk and sha256sum do the rest. Nothing is durable.
. "${0%/*}/calls.sh"

list_pages
write_calls
wget2 --quiet --no-config --ca-certificate "$CA_FILE" --max-threads "$PARALLEL" --directory-prefix calls --input-file urls \
  --no-xattr --no-use-server-timestamps --no-hsts --no-ocsp --no-ocsp-stapling --no-cookies --no-netrc
write_manifest
