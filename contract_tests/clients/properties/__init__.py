"""What is true of a good client of this API: the properties C01 to C56, by whom they are judged, and how to mend."""
