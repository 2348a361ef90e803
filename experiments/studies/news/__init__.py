"""What minds make of dated news: read, and held against the real day."""
