"""What is for browsers: the lab, a page to look at data and network while it trains."""
