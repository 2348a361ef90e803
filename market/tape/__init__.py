"""What a market leaves behind: tables, their recording, reading and replay."""
