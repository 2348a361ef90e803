"""One price series scored against a real one."""
