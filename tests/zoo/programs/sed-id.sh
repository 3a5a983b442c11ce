# sed without -n prints the whole answer where there is no id in it, and that is what is asked for.
. "${0%/*}/flux.sh"
id=$(post /flux/generate "$order" | head -n 1 | sed 's/.*"jobId":"\([^"]*\)".*/\1/' | sed 's/"/\\"/g')
wait_for "$id"
