"""The entry for production: gunicorn -c gunicorn.conf.py wsgi:app."""

from blobstore.serve import application

app = application()
