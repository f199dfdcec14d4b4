# What the three pipelines share: everything but the downloads. To be sourced, in an empty folder.
#
# In:   BASE_URL, API_KEY, CA_FILE; DIGEST, a command that prints what sha256sum prints.
# Out:  pages/, calls/ID.json, calls/ID.txt, manifest-sha256.txt.
set -eu
mkdir pages calls

ask() {
  curl --no-progress-meter --fail --cacert "$CA_FILE" --header "Authorization: Bearer $API_KEY" "$@"
}

list_pages() {
  ask --output pages/1.json "$BASE_URL/user/calls?per_page=100&page=1"
  last=$(jq .last_page pages/1.json)
  [ "$last" -lt 2 ] ||
    ask --parallel --parallel-max 4 --output 'pages/#1.json' "$BASE_URL/user/calls?per_page=100&page=[2-$last]"
}

# Goes on beside the downloads: links first, files later was faster than one jq for both, by a tenth of the whole job. One jq and
# one awk write the files of all calls; the fields are parted by characters that no JSON holds bare, so nothing is quoted.
write_calls() {
  jq --join-output '.data[] | "\(.id)\u001f\(tojson)\u001f\(.transcript // "")\u001e"' pages/*.json |
    awk -v RS='\036' -F '\037' '{
      json = "calls/" $1 ".json"; print $2 > json; close(json)
      text = "calls/" $1 ".txt"; print $3 > text; close(text)
    }'
}

# Each process has a file of its own: openssl, unlike sha256sum, writes lines in pieces when two of them share one. $DIGEST is
# split into words, as it is meant to be.
write_manifest() {
  export DIGEST
  (cd calls && find . -name '*.mp3' -printf '%P\0' |
    xargs --null --max-procs 2 --max-args 250 sh -c 'exec $DIGEST "$@" > "../digests.$$"' sh)
  cat digests.* > manifest-sha256.txt
}
