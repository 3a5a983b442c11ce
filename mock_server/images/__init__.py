"""Pictures: uploads checked (`uploads`), results drawn (`drawing`, `fonts`), and found by their URL (`gallery`)."""
