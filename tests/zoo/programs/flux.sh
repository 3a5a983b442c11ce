# What the clients of curl share. jq reads the answers; times are divided by $FLUXMOCK_SPEED.
in_time() { echo "$1 $FLUXMOCK_SPEED" | awk '{ print $1 / $2 }'; }

# post PATH BODY [options of curl]: prints the answer, and then its HTTP status on a line of its own.
post() {
  path=$1 body=$2
  shift 2
  curl -sS --max-time "$(in_time 20)" -H "TT-API-KEY: $TT_API_KEY" -H 'Content-Type: application/json' \
    -w '\n%{http_code}' "$@" -d "$body" "$FLUXMOCK_BASE_URL$path"
}

order=$(jq -cn '{prompt: env.FLUXMOCK_PROMPT, mode: env.FLUXMOCK_MODE}')

# submit [options of curl]: prints the id of the job.
submit() {
  answer=$(post /flux/generate "$order" "$@") || return 1
  [ "${answer##*
}" = 200 ] || return 1
  printf '%s' "${answer%
*}" | jq -er '.data.jobId'
}

# wait_for ID: polls, and prints the URL of the image.
wait_for() {
  for _ in $(seq 40); do
    sleep "$(in_time 2)"
    answer=$(post /flux/fetch "{\"jobId\": \"$1\"}") || continue
    case ${answer##*
} in
    200) ;;
    429 | 503) sleep "$(in_time 60)" && continue ;; # longer than any Retry-After so far
    *) continue ;;
    esac
    status=$(printf '%s' "${answer%
*}" | jq -r '.status?' 2>/dev/null) || continue
    case $status in
    SUCCESS)
      printf '%s' "${answer%
*}" | jq -er '.data.imageUrl | select(. != "")'
      return
      ;;
    FAILED) return 1 ;;
    esac
  done
  return 1
}
