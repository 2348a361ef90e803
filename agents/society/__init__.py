"""What investors are to each other: links, posts, likes, rumours, moods."""
