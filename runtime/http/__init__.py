"""HTTP/1.1 over sockets: connections, heads, bodies, answers. Drives an ASGI application."""
