# The body is put together by hand, and a quote in the prompt is the end of it.
. "${0%/*}/flux.sh"
order="{\"prompt\": \"$FLUXMOCK_PROMPT\", \"mode\": \"$FLUXMOCK_MODE\"}"
id=$(submit) && wait_for "$id"
