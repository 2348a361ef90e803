"""Study: links, a rumour in pairs of markets, what society costs."""
