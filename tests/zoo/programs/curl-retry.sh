# --retry-all-errors repeats the submission, too, whatever went wrong with it.
. "${0%/*}/flux.sh"
id=$(submit --retry 2 --retry-delay 1 --retry-all-errors) && wait_for "$id"
