"""Makes scenarios of recordings: what was recorded, job by job, becomes rules that play at any polling rhythm."""
