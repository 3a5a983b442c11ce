#!/bin/sh
# curl and sh: make one image out of two; /flux/edits and /flux/fetch both get multipart forms (-F).
# Run: sh edits.sh IMAGE IMAGE
set -eu

base_url=${FLUXMOCK_BASE_URL:-http://127.0.0.1:8787}
key=${TT_API_KEY:-any-key}
poll_seconds=${POLL_SECONDS:-3}
out=${OUT:-./result.webp}
[ $# -eq 2 ] || { echo 'usage: sh edits.sh IMAGE IMAGE' >&2; exit 2; }

# Prints the text of a field of the JSON in $answer. Enough for this API; where there is jq, use that.
value() { printf '%s\n' "$answer" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | tr -d '\\'; }

answer=$(curl -fsS "$base_url/flux/edits" -H "TT-API-KEY: $key" \
  -F 'prompt=both animals in one picture' -F mode=flux-kontext-max -F aspect_ratio=3:4 \
  -F "image=@$1" -F "image=@$2")
job_id=$(value 'job_*[Ii]d') # jobId, or job_id in the newer contract
echo "job $job_id"

while :; do
  answer=$(curl -fsS "$base_url/flux/fetch" -H "TT-API-KEY: $key" -F "jobId=$job_id")
  status=$(value status)
  echo "$status"
  case $status in
    SUCCESS) break ;;
    FAILED) echo "the job failed: $(value message)" >&2; exit 1 ;;
  esac
  sleep "$poll_seconds"
done

curl -fsS "$(value imageUrl)" -o "$out"
echo "$out"
