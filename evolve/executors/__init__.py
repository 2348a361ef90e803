"""Where a sweep's work is done: in process, in local processes, on Ray; one interface."""
