"""gunicorn, uvicorn and the HTTP protocol."""
