"""What a window of past prices becomes for a language model: words, digits or soft tokens."""
