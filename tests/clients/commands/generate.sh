#!/bin/sh
# A client of curl's: generate.sh BASE_URL API_KEY PROMPT [options of curl for the submission]
base_url=$1 api_key=$2 prompt=$3
shift 3
post() { path=$1; shift; curl -fsS --max-time 1.5 -H "TT-API-KEY: $api_key" -H 'Content-Type: application/json' "$@" "$base_url$path"; }
job_id=$(post /flux/generate "$@" -d "{\"prompt\": \"$prompt\", \"mode\": \"$FLUXMOCK_MODE\"}" | sed -n 's/.*"jobId":"\([^"]*\)".*/\1/p')
[ -n "$job_id" ] || exit 1
for _ in 1 2 3 4 5 6 7 8 9; do
  answer=$(post /flux/fetch -d "{\"jobId\": \"$job_id\"}")
  case $answer in
  *'"status":"SUCCESS"'*) echo "$answer" | sed -n 's/.*"imageUrl":"\([^"]*\)".*/\1/p'; exit 0 ;;
  *'"status":"FAILED"'*) echo "$answer" >&2; exit 1 ;;
  esac
  sleep "${PAUSE:-1}"
done
exit 1
