"""Where a sweep's work is done: in process, in local processes, on Ray; one interface.

Knows: nothing by itself; `executor` has the interface.
Does not know: what the work is.
"""
