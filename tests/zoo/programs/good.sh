# curl and jq, with a time limit for every call, and no retries.
. "${0%/*}/flux.sh"
id=$(submit) && wait_for "$id"
