#!/bin/sh
# curl and sh: generate an image, fetch by JSON until it is done, download it.
# Run: sh generate_and_fetch.sh
set -eu

base_url=${FLUXMOCK_BASE_URL:-http://127.0.0.1:8787}
key=${TT_API_KEY:-any-key}
poll_seconds=${POLL_SECONDS:-3}
out=${OUT:-./result.webp}

# Prints the text of a field of the JSON in $answer. Enough for this API; where there is jq, use that.
value() { printf '%s\n' "$answer" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | tr -d '\\'; }

answer=$(curl -fsS "$base_url/flux/generate" -H "TT-API-KEY: $key" -H 'Content-Type: application/json' \
  -d '{"prompt": "a cute cat", "mode": "flux1-dev", "aspect_ratio": "2:3"}')
job_id=$(value 'job_*[Ii]d') # jobId, or job_id in the newer contract
echo "job $job_id"

while :; do
  answer=$(curl -fsS "$base_url/flux/fetch" -H "TT-API-KEY: $key" -H 'Content-Type: application/json' \
    -d "{\"jobId\": \"$job_id\"}")
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
